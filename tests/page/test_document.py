"""The page as a file: whole, from nowhere else, and fit for its own policy."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path

import tidal
from tidal.page import LIVE_NAME, html, policy
from tidal.page.rankings import BARS, ROWS

PAGE = html().decode()


def hash_of(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_its_style_and_script_have_the_hashes_of_its_policy() -> None:
    [style], [script] = (
        re.findall(r"<style>(.*?)</style>", PAGE, re.S),
        re.findall(r"<script>(.*?)</script>", PAGE, re.S),
    )
    assert f"style-src 'sha256-{hash_of(style)}'" in policy()
    assert f"script-src 'sha256-{hash_of(script)}'" in policy()
    assert PAGE.count("<script") == PAGE.count("<style") == 1


def test_its_policy_allows_nothing_else() -> None:
    allowed = dict(part.split(" ", 1) for part in policy().split("; "))
    assert allowed.pop("style-src").startswith("'sha256-") and allowed.pop("script-src").startswith(
        "'sha256-"
    )
    assert allowed == {
        "default-src": "'none'", "connect-src": "'self'", "img-src": "data:",
        "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip


def test_it_names_no_other_place_and_makes_no_markup_of_text() -> None:
    places = set(re.findall(r"[a-z]+://[^\s'\"`)]+", PAGE)) - {"http://www.w3.org/2000/svg"}
    assert places == set(), "an address; of names of standards only that of SVG is needed"
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", PAGE)
    assert not re.search(r"<[^>]+\s(on\w+|style)=", PAGE), "an attribute that the policy would not let run"
    assert not re.search(r"localStorage|cookie", PAGE)
    assert f"`{LIVE_NAME}?" in PAGE


def test_every_asset_is_in_it() -> None:
    names = [asset.name for asset in (files("tidal.page") / "assets").iterdir()]
    assert sorted(names) == ["charts.js", "format.js", "live.js", "page.css", "page.html", "parts.js"]
    for name in names:
        if name != "page.html":
            assert (files("tidal.page") / "assets" / name).read_text(encoding="utf-8") in PAGE


def test_what_has_a_label_or_a_heading_names_what_there_is() -> None:
    known = set(re.findall(r'\bid="([^"]+)"', PAGE))
    asked = re.findall(r'aria-labelledby="([^"]+)"|(?<!el\("label", \{ )for="([^"]+)"', PAGE)
    assert {a or b for a, b in asked} <= known
    assert set(re.findall(r'byId\("([^"]+)"\)', PAGE)) <= known


def test_the_script_knows_what_there_is_to_show(tmp_path: Path) -> None:
    schema = tidal.SchemaBuilder().signal("view").build()
    with tidal.open(tmp_path / "s", schema=schema) as db:
        parts = db.disk_usage().keys() - {"total"}
    for name, known in (("DISK", parts), ("CHART_OF", BARS.keys())):
        [listed] = re.findall(rf"const {name} = \{{(.*?)\}};", PAGE, re.S)
        assert set(re.findall(r'"?(\w+)"?: "', listed)) == known
    assert f"const ROWS = {ROWS};" in PAGE
