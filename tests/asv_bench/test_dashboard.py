"""The dashboard's pages: they load nothing from elsewhere, and what they load is there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from dashboard import LOCAL, VENDOR, localised, make_local

GUARDS = 'integrity="sha256-x" crossorigin="anonymous"'
JQUERY = f'<script src="https://code.jquery.com/jquery-3.3.1.min.js" {GUARDS} onerror="f()"></script>'
STYLE = f'<link rel="stylesheet" href="https://cdn.example/bootstrap@3.1.1/css/bootstrap.min.css" {GUARDS}>'
PAGE = f"""<head>
    {JQUERY}
    <script src="asv.js"></script>
    {STYLE}
</head>
<body><a href="https://github.com/airspeed-velocity/asv/">asv</a></body>
"""


def test_scripts_and_styles_come_from_the_folder_beside_it() -> None:
    page = localised(PAGE)
    assert '<script src="vendor/jquery-3.3.1/jquery.min.js" onerror="f()"></script>' in page
    assert '<link rel="stylesheet" href="vendor/bootstrap-3.1.1/bootstrap.min.css">' in page


def test_the_data_is_there_before_any_script_of_asv_asks_for_it() -> None:
    order = re.findall(r'src="([^"]+)"', localised(PAGE))
    assert order == ["vendor/jquery-3.3.1/jquery.min.js", "data.js", "vendor/local_data.js", "asv.js"]


def test_links_that_load_nothing_stay() -> None:
    assert '<a href="https://github.com/airspeed-velocity/asv/">' in localised(PAGE)


@pytest.mark.parametrize("scheme", ["https:", "http:", ""])
def test_an_address_that_nobody_knows_is_refused(scheme: str) -> None:
    with pytest.raises(ValueError, match=re.escape("chart.js")):
        localised(PAGE + f'<script async src="{scheme}//cdn.example/chart.js"></script>')


def test_a_page_without_jquery_is_refused() -> None:
    with pytest.raises(ValueError, match="does not load jQuery"):
        localised(PAGE.replace(JQUERY, ""))


def test_every_file_is_there_and_has_its_licence() -> None:
    for path in LOCAL.values():
        file = VENDOR / path
        assert file.is_file()
        licensed = b"Released under the MIT license" in file.read_bytes()[:200]
        assert licensed or list(file.parent.glob("LICENSE*"))


def test_pages_made_local_hold_their_data(tmp_path: Path) -> None:
    (tmp_path / "graphs").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "index.json").write_text('{"project": "tidal"}')
    (tmp_path / "graphs" / "a b.json").write_text("[[1, 2.5]]")
    make_local(tmp_path)
    assert (tmp_path / "index.html").read_text() == localised(PAGE)
    assert all((tmp_path / "vendor" / path).is_file() for path in LOCAL.values())
    data = (tmp_path / "data.js").read_text().removeprefix("var asvFiles = ").removesuffix(";\n")
    assert json.loads(data) == {"index.json": {"project": "tidal"}, "graphs/a b.json": [[1, 2.5]]}


def test_the_page_of_asv_itself() -> None:
    """asv's own page, where asv is installed: each tag is known, and files it has hashes of are the same."""
    pytest.importorskip("asv", reason="asv is not installed: pip install --group bench")
    page = (files("asv") / "www" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'<(script|link)[^>]*(src|href)="(https?:)?//', localised(page))
    same = 0
    for address, method, digest in re.findall(r'"https://[^"]*/([^"/]+)" integrity="(sha\d+)-([^"]+)"', page):
        found = hashlib.new(method, (VENDOR / LOCAL[address]).read_bytes()).digest()
        same += found == base64.b64decode(digest)
    assert same >= 5  # flot is minified there, and stupidtable an older version
