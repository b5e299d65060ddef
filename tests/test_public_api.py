"""The public surface: complete, documented, typed, and of the version that the package says."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import tidal
from tidal import errors

PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
CLASSES = [name for name in tidal.__all__ if inspect.isclass(getattr(tidal, name))]
FUNCTIONS = [name for name in tidal.__all__ if inspect.isfunction(getattr(tidal, name))]
METHODS = [
    f"{name}.{method}"
    for name in CLASSES
    if not issubclass(getattr(tidal, name), Exception)
    for method, value in vars(getattr(tidal, name)).items()
    if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    if method not in {"keys", "values", "items"}  # what they are of a dict, or what the class says
]

# What no caller of the public names can meet: readers of files turn FormatError into an error with a place,
# tidal gives storage engines good keys, and the others are of commands.
INTERNAL_ERRORS = {"FormatError", "InvalidKey", "UnreachableService", "UsageError", "UnreadableInput"}


def resolve(dotted: str) -> Any:
    return functools.reduce(getattr, dotted.split("."), tidal)


def test_all_names_exist_once_and_in_order() -> None:
    assert tidal.__all__ == sorted(set(tidal.__all__))
    assert [name for name in tidal.__all__ if not hasattr(tidal, name)] == []


def test_type_checkers_see_what_a_program_gets() -> None:
    """The imports under TYPE_CHECKING and those that are made when a name is asked for."""
    seen = {
        (statement.module, alias.name)
        for statement in ast.walk(ast.parse(Path(tidal.__file__).read_text(encoding="utf-8")))
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("tidal.")
        for alias in statement.names
    }
    given = {(home, name) for home, names in tidal._HOMES.items() for name in names}
    others = set(tidal.__all__) - {name for _, name in given} - {"__version__"}
    assert seen == given | {("tidal.errors", name) for name in others}


@pytest.mark.parametrize("module", ["rebuild", "salvage"])
def test_a_function_stays_one_when_the_module_of_its_name_is_imported(module: str) -> None:
    code = f"import tidal.{module}; print(callable(tidal.{module}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tidal' has no attribute 'opne'"):
        tidal.opne  # noqa: B018  # the look-up is what is tested


def test_all_names_are_listed_before_they_are_imported() -> None:
    code = "import tidal; print(set(tidal.__all__) <= set(dir(tidal)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"


def test_the_version_is_the_distribution_s() -> None:
    assert tidal.__version__ == PYPROJECT["project"]["version"]


def test_every_error_is_public() -> None:
    declared = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert declared - INTERNAL_ERRORS - set(tidal.__all__) == set()


@pytest.mark.parametrize("name", [name for name, value in vars(errors).items() if inspect.isclass(value)
                                  and value.__module__ == errors.__name__])  # fmt: skip
def test_errors_are_one_tree(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, tidal.TidalError)
    assert error.__doc__


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS])
def test_public_names_have_docstrings(name: str) -> None:
    doc = inspect.getdoc(getattr(tidal, name)) or ""
    assert re.match(r"[A-Z`].*[.:]", doc.split("\n\n")[0].replace("\n", " ")), f"{name}: {doc[:60]!r}"


@pytest.mark.parametrize("name", METHODS)
def test_public_methods_are_documented_and_typed(name: str) -> None:
    owner, method = resolve(name.split(".")[0]), resolve(name)
    if isinstance(method, property):
        in_class = f"``{name.split('.')[1]}``" in (owner.__doc__ or "") or dataclasses.is_dataclass(owner)
        assert in_class or inspect.getdoc(method), f"{name} has no docstring, and its class does not name it"
        method = method.fget
    else:
        assert inspect.getdoc(method), f"{name} has no docstring"
    signature = inspect.signature(method)
    assert signature.return_annotation is not inspect.Signature.empty
    untyped = [p.name for p in signature.parameters.values() if p.name != "self" and p.annotation is p.empty]
    assert untyped == []


# What a docstring must say for the value to be usable: its unit, dtype or shape.
UNITS = {
    "signal": "sequence", "ingest": "row", "flush": "sequence", "checkpoint": "sequence", "now": "ns",
    "score": "half_life", "scores": "float64[n]", "count": "bucket", "counts": "uint64[n]",
    "velocity": "events a second", "velocities": "float64[n]", "top": "best first", "rank": "best first",
    "read": "uint64", "records": "structured arrays", "last_seq": "sequence", "durable_seq": "sequence",
    "stats": "counters", "key_of": "None",
}  # fmt: skip


@pytest.mark.parametrize(("method", "unit"), UNITS.items())
def test_methods_name_their_units(method: str, unit: str) -> None:
    assert unit in (inspect.getdoc(resolve(f"TidalDb.{method}")) or "")


def test_the_class_names_the_errors_of_every_read() -> None:
    doc = inspect.getdoc(tidal.TidalDb) or ""
    assert "UnknownSignalType" in doc and "UnknownMeasure" in doc
