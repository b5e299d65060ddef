"""The layers of docs/ARCHITECTURE.md, enforced: that page's tables are the rules, there is no copy here."""

from __future__ import annotations

import ast
import builtins
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tidal"
ARCHITECTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading."""
    section = ARCHITECTURE.split(f"\n{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", section, re.M)
    assert lines, f"no table under {heading}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


LAYER = {part: int(number) for number, parts, _ in table("## Layers") for part in names(parts)}
FORBIDDEN = [(names(parts), names(never)) for parts, never, _ in table("### What a part never imports")]
LATE = {
    (module, name)
    for modules, imported, _ in table("### Imports inside functions")
    for module in names(modules)
    for name in names(imported)
}


# ------------------------------------------------------------------------------------ reading the tree


class Import(NamedTuple):
    target: str  # the module
    line: int
    late: bool  # inside a function


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports(module: str) -> tuple[Import, ...]:
    return tuple(_imports(ast.parse(SOURCES[module].read_text(encoding="utf-8")), late=False))


def _imports(node: ast.AST, late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, late) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level and child.module, f"line {child.lineno}: relative import"
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                yield Import(inner if inner in SOURCES else child.module, child.lineno, late)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith("import_module"):
            if ast.unparse(child.args[0]) == "home":  # of the public names; see test_public_api.py
                continue
            assert isinstance(child.args[0], ast.Constant), (
                f"line {child.lineno}: a module without a fixed name"
            )
            yield Import(str(child.args[0].value), child.lineno, late)
        inside = late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(child, inside)


def part_of(module: str) -> str:
    """The name that the layers table has for a module: `tidal` itself, or what follows it."""
    return module.split(".")[1] if "." in module else module


def own_imports(module: str) -> Iterator[Import]:
    return (found for found in imports(module) if found.target.split(".")[0] == "tidal")


# ------------------------------------------------------------------------------------ the rules


def test_every_part_has_a_layer() -> None:
    parts = {part_of(module) for module in SOURCES}
    assert parts - LAYER.keys() == set(), "not in the layers table"
    assert LAYER.keys() - parts == set(), "in the layers table, but not in the tree"


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_down(module: str) -> None:
    mine = part_of(module)
    wrong = [
        f"line {found.line}: {found.target}"
        for found in own_imports(module)
        if part_of(found.target) != mine and LAYER[part_of(found.target)] >= LAYER[mine]
    ]
    assert not wrong, f"{module} (layer {LAYER[mine]}) imports from its own layer or above: {wrong}"


@pytest.mark.parametrize("module", SOURCES)
def test_no_forbidden_imports(module: str) -> None:
    never = [name for parts, forbidden in FORBIDDEN if part_of(module) in parts for name in forbidden]
    wrong = [
        f"line {found.line}: {found.target}"
        for found in imports(module)
        if any(found.target == name or found.target.startswith(name + ".") for name in never)
    ]
    assert not wrong, f"{part_of(module)} never imports {never}"


def test_there_are_no_import_cycles() -> None:
    graph = {module: {found.target for found in own_imports(module)} - {module} for module in SOURCES}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(SOURCES) <= set(order)


def test_imports_inside_functions_are_the_listed_ones() -> None:
    late = {
        (module.removeprefix("tidal."), it.target) for module in SOURCES for it in imports(module) if it.late
    }
    assert late - LATE == set(), "imports inside functions that the table does not explain"
    assert LATE - late == set(), "in the table, but not in the code"


# ------------------------------------------------------------------------------------ the compiled core


CORE = sorted([*(ROOT / "_ext").glob("*.pyx"), *(PACKAGE / "_ext").glob("*.p[xy][di]")])


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_knows_nothing_of_the_package(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"^\s*(?:from|import|cimport)\s+(\.[\w.]*|tidal[\w.]*)", text, re.M)
    assert [name for name in used if not name.startswith("tidal._ext.")] == []
    raised = set(re.findall(r"^\s*raise (\w+)", text, re.M))
    assert [name for name in raised if not hasattr(builtins, name)] == []


# ------------------------------------------------------------------------------------ what importing costs


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_tidal_imports_no_optional_dependency() -> None:
    """Neither an extra nor a part that few use, of our own or another's."""
    more = modules_after("import tidal; tidal.open") - modules_after("import numpy, blake3, zstandard")
    known = {*sys.stdlib_module_names, "tidal", "numpy", "cython_runtime"}
    assert {
        name for name in more if name.split(".")[0] not in known and not name.startswith("_cython_")
    } == set()
    assert {part_of(name) for name in more if name.startswith("tidal.")} & {"cli", "demo", "testing"} == set()


def test_importing_tidal_imports_nothing_of_it_yet() -> None:
    """A name is imported when it is asked for: a program that says ``import tidal`` does not wait for it."""
    more = modules_after("import tidal") - modules_after("import typing")
    assert {name for name in more if name.split(".")[0] not in sys.stdlib_module_names} == {"tidal"}


# ------------------------------------------------------------------------------------ the tree


def tree() -> Iterator[str]:
    """The files that the drawing of the tree names."""
    drawing = ARCHITECTURE.split("\n## The tree\n", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    folders: list[str] = []
    for line in drawing.splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        name, *description = line.split(maxsplit=1)
        del folders[depth:]
        if name.endswith("/"):
            folders.append(name)
        else:
            assert description, f"{name} has no description"
            yield "".join(folders) + name


def test_the_tree_is_as_drawn() -> None:
    drawn = list(tree())
    there = [*(ROOT / "_ext").glob("*.pyx"), *PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.h")]
    assert set(drawn) == {str(path.relative_to(ROOT)) for path in there}
    assert len(drawn) == len(set(drawn))
