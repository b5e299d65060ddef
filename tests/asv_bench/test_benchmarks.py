"""Every benchmark runs once at its smallest parameters, so that none rots between two measurements."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from benchmarks.peers import Unavailable

FOLDER = Path(__file__).parents[2] / "asv_bench"

KINDS = ("time_", "peakmem_", "track_")


def found() -> Iterator[Any]:
    for path in sorted((FOLDER / "benchmarks").glob("[!_]*.py")):
        module = import_module(f"benchmarks.{path.stem}")
        for name, group in inspect.getmembers(module, inspect.isclass):
            methods = [method for method in dir(group) if method.startswith(KINDS)]
            if group.__module__ == module.__name__ and methods:
                yield pytest.param(group, methods, id=f"{path.stem}.{name}")


BENCHMARKS = list(found())


def run(benchmark: Any, method: str, parameters: tuple[Any, ...]) -> Any:
    if hasattr(benchmark, "setup"):
        benchmark.setup(*parameters)
    try:
        return getattr(benchmark, method)(*parameters)
    finally:
        if hasattr(benchmark, "teardown"):
            benchmark.teardown(*parameters)


@pytest.mark.parametrize(("group", "methods"), BENCHMARKS)
def test_runs_at_its_smallest(
    group: Any, methods: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    smallest = tuple(values[0] for values in group.params)
    for method in methods:
        result = run(group(), method, smallest)
        if method.startswith("track_"):
            assert math.isfinite(result) and result > 0, method
        else:
            assert result is None, f"{method} returns what nobody sees: track_ is the prefix for figures"


@pytest.mark.parametrize(
    ("group", "engine"),
    [
        pytest.param(group, engine, id=f"{group.__module__.partition('.')[2]}.{group.__name__}-{engine}")
        for group, *_ in (parameter.values for parameter in BENCHMARKS)
        if {"engine", "file"} & set(group.param_names)
        for engine in group.params[-1]
    ],
)
def test_each_peer_does_the_work(
    group: Any, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    *smallest, _ = (values[0] for values in group.params)
    methods = [name for name in dir(group) if name.startswith(KINDS)]
    try:
        results = {method: run(group(), method, (*smallest, engine)) for method in methods}
    except Unavailable as missing:
        pytest.skip(str(missing))
    assert results
    for method, result in results.items():
        assert result > 0 if method.startswith("track_") else result is None, method


@pytest.mark.parametrize(("group", "methods"), BENCHMARKS)
def test_every_parameter_has_a_name(group: Any, methods: list[str]) -> None:
    assert len(group.param_names) == len(group.params)
    for method in methods:
        assert list(inspect.signature(getattr(group, method)).parameters)[1:] == list(group.param_names)


def test_there_are_benchmarks_of_every_kind() -> None:
    methods = list(itertools.chain.from_iterable(parameter.values[1] for parameter in BENCHMARKS))
    assert all(any(method.startswith(kind) for method in methods) for kind in KINDS)
