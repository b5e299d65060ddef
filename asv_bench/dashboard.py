"""Publish what asv has measured as pages that open without a network, from the disk too.

python asv_bench/dashboard.py        writes asv_bench/html; open index.html in a browser
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
VENDOR: Final = FOLDER / "vendor"
HTML: Final = FOLDER / "html"  # as asv.conf.json says

# The last part of the address that asv's page loads -> what it loads instead.
LOCAL: Final = {
    "jquery-3.3.1.min.js": "jquery-3.3.1/jquery.min.js",
    "jquery.flot.min.js": "flot-0.8.3/jquery.flot.js",
    "jquery.flot.time.min.js": "flot-0.8.3/jquery.flot.time.js",
    "jquery.flot.selection.min.js": "flot-0.8.3/jquery.flot.selection.js",
    "jquery.flot.categories.min.js": "flot-0.8.3/jquery.flot.categories.js",
    "jquery.flot.orderBars.js": "flot-orderbars-1.0.0/jquery.flot.orderBars.js",
    "stupidtable.min.js": "stupid-table-plugin-1.1.3/stupidtable.min.js",
    "md5.min.js": "blueimp-md5-2.19.0/md5.min.js",
    "bootstrap.min.js": "bootstrap-3.1.1/bootstrap.min.js",
    "bootstrap.min.css": "bootstrap-3.1.1/bootstrap.min.css",
}

_LOADED = re.compile(r'<(?:script|link)\b[^>]*?\b(?:src|href)="(https?:)?//[^"]*"[^>]*>')
_ADDRESS = re.compile(r'\b(src|href)="[^"]*/([^"/]+)"')
_GUARDS = re.compile(r'\s+(?:integrity|crossorigin|referrerpolicy)="[^"]*"')  # of another origin
_DATA: Final = '<script src="data.js"></script><script src="vendor/local_data.js"></script>'


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    if not any(FOLDER.glob("results/*/*.json")):
        print(f"{FOLDER / 'results'} is empty: asv run measures, see docs/performance.md", file=sys.stderr)
        return 1
    subprocess.run([sys.executable, "-m", "asv", "publish", "--no-pull"], cwd=FOLDER, check=True)
    make_local(HTML)
    print(f"open {HTML / 'index.html'}")
    return 0


def make_local(html: Path) -> None:
    """Make published pages load nothing from elsewhere, and find their data where no server answers."""
    page = html / "index.html"
    text = localised(page.read_text(encoding="utf-8"))
    shutil.copytree(VENDOR, html / "vendor", dirs_exist_ok=True)
    paths = sorted(html.rglob("*.json"))
    files = {path.relative_to(html).as_posix(): json.loads(path.read_bytes()) for path in paths}
    (html / "data.js").write_text(f"var asvFiles = {json.dumps(files)};\n", encoding="utf-8")
    page.write_text(text, encoding="utf-8")


def localised(page: str) -> str:
    """Return asv's page with every script and style taken from vendor/, and the data after jQuery.

    ValueError for an address that LOCAL does not know: a newer asv loads something else.
    """
    page = _LOADED.sub(lambda tag: _local_tag(tag[0]), page)
    first, jquery, rest = page.partition(f'src="vendor/{LOCAL["jquery-3.3.1.min.js"]}"')
    if not jquery:
        raise ValueError("the page does not load jQuery: is it the index.html of asv publish?")
    head, end, body = rest.partition("</script>")
    return f"{first}{jquery}{head}{end}\n    {_DATA}{body}"


def _local_tag(tag: str) -> str:
    found = _ADDRESS.search(tag)
    if found is None or found[2] not in LOCAL:
        raise ValueError(f"asv's page loads {tag}: put what it loads into {VENDOR.name}/ and into LOCAL")
    return _GUARDS.sub("", _ADDRESS.sub(f'{found[1]}="vendor/{LOCAL[found[2]]}"', tag))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
