"""A step of the code taken out while it runs: text of one function replaced, and put back afterwards.

The function's code object is exchanged, not the function, so that everybody who imported it runs the
mutant. The text must be there exactly once: where the code has moved on, a mutant fails instead of
testing nothing.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any


class StaleMutant(AssertionError):
    """The code that a mutant changes is no longer there."""


def no_nonsense(error: BaseException) -> None:
    """Raise what only code that cannot run raises: it would count as caught whatever the harness sees."""
    if isinstance(error, AttributeError | NameError | ImportError | SyntaxError):
        raise error


@contextlib.contextmanager
def replaced(module_name: str, old: str, new: str) -> Iterator[str]:
    """Run the block with ``old`` replaced by ``new`` in a module's source, inside the function it is told."""
    module = importlib.import_module(module_name)
    source = inspect.getsource(module)
    if source.count(old) != 1:
        raise StaleMutant(f"{module_name} has {source.count(old)} times, not once: {old!r}")
    qualname = _function_around(source, source.index(old), module_name)
    function = _find(module, qualname)
    mutant = _code(source.replace(old, new), str(module.__file__), qualname)
    before = function.__code__
    if mutant.co_code == before.co_code and mutant.co_consts == before.co_consts:
        raise StaleMutant(f"{module_name}.{qualname} is the same with {new!r}")
    function.__code__ = mutant
    try:
        yield function.__name__
    finally:
        function.__code__ = before


@cache
def _functions(source: str) -> list[tuple[int, int, str]]:
    """First line, last line and qualified name of each function that is no other's inside."""
    found: list[tuple[int, int, str]] = []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                found.append((node.lineno, node.end_lineno or node.lineno, prefix + node.name))

    visit(ast.parse(source).body, "")
    return found


def _function_around(source: str, position: int, module_name: str) -> str:
    line = source.count("\n", 0, position) + 1
    for first, last, qualname in _functions(source):
        if first <= line <= last:
            return qualname
    raise StaleMutant(f"line {line} of {module_name} is in no function")


def _find(module: ModuleType, qualname: str) -> FunctionType:
    found: Any = module
    for name in qualname.split("."):
        found = inspect.getattr_static(found, name)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    found = inspect.unwrap(found)
    if not isinstance(found, FunctionType):
        raise StaleMutant(f"{module.__name__}.{qualname} is not a function of Python")
    return found


def _code(source: str, path: str, qualname: str) -> CodeType:
    waiting = [compile(source, path, "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        if code.co_qualname == qualname:
            return code
        waiting += (it for it in code.co_consts if isinstance(it, CodeType))
    raise StaleMutant(f"{path} has no function {qualname}")
