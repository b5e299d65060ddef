"""A program of commands as a function: arguments in, exit code and what was printed out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


def as_function(
    main: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Return a program's ``main`` as a function of its arguments."""

    def run(*arguments: object) -> Answer:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run
