"""What the documentation says, held to the code: blocks run, results shown are the results, links resolve.

Every ``python`` block of README.md, CHANGELOG.md and docs/ is executed, all blocks of a page in one namespace
and in a temporary folder. ``expression  # -> result`` is checked against the repr of the expression (of
``print(x)``: the text); a result may end in ``...``. A block whose first line is ``# conftest.py`` or
``# test_x.py`` is that file: pytest runs those of a page together. A block is left out only by a comment
before it: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import importlib
import io
import json
import logging
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tidal
from tidal.cli.ctl.main import build_parser as build_ctl_parser
from tidal.cli.main import build_parser
from tidal.durable import OsFileSystem
from tidal.format.segment import STORE_ID_BYTES
from tidal.schema.evolution import NEW_TYPE_ID_MAX, SCHEMA_FORMAT, TYPE_ID_MAX
from tidal.schema.spec import HALF_LIVES_MAX, NAME_LENGTH_MAX, WINDOW_SECONDS
from tidal.store import STORE_FORMAT, StorePaths, load_store

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
page_of = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Block(NamedTuple):
    language: str
    line: int  # of the file, where the code begins
    code: str
    comment: str  # the HTML comment right before it


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    fence = [number for number, line in enumerate(lines) if line.startswith("```")]
    assert len(fence) % 2 == 0, f"{page} has a code block without an end"
    for start, end in zip(fence[::2], fence[1::2], strict=True):
        before = next((line for line in reversed(lines[:start]) if line.strip()), "")
        code = "\n".join(lines[start + 1 : end]) + "\n"
        yield Block(lines[start][3:].strip(), start + 2, code, before if before.startswith("<!--") else "")


# ------------------------------------------------------------------------------------ blocks that run


def results_shown(code: str) -> dict[int, str]:
    """The text of each ``# -> text`` comment, by line."""
    comments = (t for t in tokenize.generate_tokens(io.StringIO(code).readline) if t.type == tokenize.COMMENT)
    return {t.start[0]: t.string[4:].strip() for t in comments if t.string.startswith("# ->")}


class CheckResults(ast.NodeTransformer):
    """Turns ``expression  # -> result`` into ``__shown__(expression, line)``."""

    def __init__(self, shown: dict[int, str]) -> None:
        self.shown = shown
        self.checked: set[int] = set()

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        line, value = node.end_lineno or 0, node.value
        if line not in self.shown:
            return node
        self.checked.add(line)
        as_text = (
            isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print"
        )
        if as_text:
            assert isinstance(value, ast.Call)
            value = value.args[0]
        arguments: list[ast.expr] = [value, ast.Constant(line), ast.Constant(as_text)]
        check = ast.Call(ast.Name("__shown__", ast.Load()), arguments, [])
        return ast.copy_location(ast.Expr(check), node)


def run_block(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    where = page.relative_to(ROOT)
    shown = results_shown(block.code)
    tree = ast.parse(block.code)
    checks = CheckResults(shown)
    ast.fix_missing_locations(checks.visit(tree))
    loose = [block.line + line - 1 for line in sorted(shown.keys() - checks.checked)]
    assert not loose, f"{where}: the results shown in lines {loose} belong to no expression"

    def check(value: object, line: int, as_text: bool) -> None:
        got, want = str(value) if as_text else repr(value), shown[line]
        good = got.startswith(want[:-3]) if want.endswith("...") else got == want
        assert good, f"{where}:{block.line + line - 1}: shown is {want}, but the result is {got}"

    namespace["__shown__"] = check
    exec(compile(ast.increment_lineno(tree, block.line - 1), str(page), "exec"), namespace)


@pytest.fixture
def quiet() -> Iterator[None]:
    """A page that shows how to listen to the log is not heard by the tests after it."""
    logger = logging.getLogger("tidal")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@page_of
@pytest.mark.usefixtures("quiet")
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "docs"}
    files = []
    for block in blocks(page):
        if block.language != "python":
            continue
        if block.comment:
            assert re.fullmatch(r"<!-- not run: \S.{9,} -->", block.comment), (
                f"{page}:{block.line}: no reason given"
            )
        elif name := re.match(r"# (conftest|test_\w+)\.py\n", block.code):
            files.append(tmp_path / f"{name[1]}.py")
            files[-1].write_text(block.code, encoding="utf-8")
        else:
            run_block(block, page, namespace)
    if files:
        run_pytest(tmp_path)


def run_pytest(folder: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, "--rootdir", str(folder), "-c", os.devnull, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@page_of
def test_every_block_says_what_it_is(page: Path) -> None:
    known = {"python", "sh", "text", "json", "sql", ""}  # without a language: drawings
    unknown = [(block.line, block.language) for block in blocks(page) if block.language not in known]
    assert not unknown
    unmarked = [
        b.line for b in blocks(page) if not b.language and re.search(r"^(import|from|>>>) ", b.code, re.M)
    ]
    assert not unmarked, "code in a block without a language would never run"


@page_of
def test_commands_are_accepted(page: Path) -> None:
    """Each `tidal`, `tidalctl` and `make` line of a shell block names what there is."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for block in blocks(page):
        if block.language != "sh":
            continue
        for line in block.code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["tidal"]:
                assert isinstance(build_parser().parse_args(words[1:]), argparse.Namespace)
            elif words[:1] == ["tidalctl"]:
                assert isinstance(build_ctl_parser().parse_args(words[1:]), argparse.Namespace)
            elif words[:1] == ["make"]:
                assert {word for word in words[1:] if "=" not in word} <= targets, line


def test_a_wrong_result_fails() -> None:
    run_block(Block("python", 1, "print(1 + 1)  # -> 2\n'ab'  # -> 'a...\n", ""), PAGES[0], {})
    with pytest.raises(AssertionError, match="shown is 3, but the result is 2"):
        run_block(Block("python", 1, "if True:\n    1 + 1  # -> 3\n", ""), PAGES[0], {})
    with pytest.raises(AssertionError, match="belong to no expression"):
        run_block(Block("python", 1, "x = 2  # -> 2\n", ""), PAGES[0], {})


# ------------------------------------------------------------------------------------ links


def anchors(page: Path) -> set[str]:
    """The ids that a reader of Markdown gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@page_of
def test_links_resolve(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = page if not target else (page.parent / target).resolve()
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert not broken


def test_every_page_is_linked() -> None:
    """From README.md a reader comes to every page."""
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        ahead += [(page.parent / link).resolve() for link in links if ":" not in link]
    assert set(PAGES) <= seen


# ------------------------------------------------------------------------------------ docstrings


MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tidal.__path__, "tidal.")
    if not module.name.endswith(".__main__")  # would run
)


@pytest.mark.parametrize("name", ["tidal", *MODULES])
def test_docstring_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert not results.failed


def test_there_are_docstring_examples() -> None:
    """The test above cannot pass by finding nothing."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) > 10


# ------------------------------------------------------------------------------------ format/schema.md

SCHEMA_PAGE = ROOT / "docs" / "format" / "schema.md"


def fields(heading: str) -> list[str]:
    """The first column of the first table after a line."""
    after = SCHEMA_PAGE.read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]
    rows = re.search(r"(?:^\|.*\n)+", after, re.M)
    assert rows
    return re.findall(r"^\| `(\w+)` \|", rows[0], re.M)


def test_the_schema_page_lists_every_field(tmp_path: Path) -> None:
    schema = tidal.SchemaBuilder().signal("view").build()
    tidal.open(tmp_path / "store", schema=schema).close()
    paths = StorePaths(tmp_path / "store")
    saved = json.loads(paths.schema.read_bytes())
    assert set(fields("## store.json")) == json.loads(paths.identity.read_bytes()).keys()
    assert set(fields("## schema.json")) == saved.keys()
    assert fields("Each signal type:") == list(schema.signal("view").to_dict())
    assert schema.signal("view").to_dict() == saved["signals"][0]


def test_the_schema_page_shows_files_that_can_be_read(tmp_path: Path) -> None:
    identity, schema = (block.code for block in blocks(SCHEMA_PAGE) if block.language == "json")
    paths = StorePaths(tmp_path)
    paths.identity.write_text(identity)
    paths.schema.write_text(schema)
    store = load_store(OsFileSystem(), paths)
    assert store.store_id.hex() == json.loads(identity)["store_id"]
    assert store.schema.names == ("view", "like")
    assert store.schema.signal("like").half_life_position("30d") == 1


def test_the_schema_page_names_the_limits() -> None:
    text = SCHEMA_PAGE.read_text(encoding="utf-8")
    for limit in (
        f"| `format` | integer | {SCHEMA_FORMAT}, the format of the schema |",
        f"| `format` | integer | {STORE_FORMAT}, the format of the store |",
        f"{STORE_ID_BYTES} random bytes",
        f"at most {NAME_LENGTH_MAX} characters",
        f"0 to {TYPE_ID_MAX}; at most {NEW_TYPE_ID_MAX} for a new type",
        f"none to {HALF_LIVES_MAX}, in ns",
        ", ".join(f"`{window}`" for window in WINDOW_SECONDS),
    ):
        assert limit in text
