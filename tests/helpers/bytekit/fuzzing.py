"""Runs the targets: a value that cannot be, an unnamed error, too much memory or time are problems."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bytekit.arrow_target import ARROW
from bytekit.guards import hang_guard
from bytekit.outside_targets import OUTSIDE
from bytekit.region_targets import REGIONS
from bytekit.replication_targets import REPLICATION
from bytekit.targets import TARGETS, Input, Target

DECODERS: Final = {**REPLICATION, **REGIONS, **OUTSIDE}
ALL: Final = {**TARGETS, **{name: it.target() for name, it in DECODERS.items()}, "arrow": ARROW}
MARGIN_BYTES: Final = 1 << 20  # beside what a target's cap names


@dataclass
class Outcome:
    """What became of some inputs of one target."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    peak: int = 0  # bytes, of the inputs whose memory was measured
    problems: list[str] = field(default_factory=list)


def fuzz(name: str, target: Target, seed: str, inputs: int, *, measured: bool = False) -> Outcome:
    """Give a target this many inputs; ``measured`` with every allocation counted, which takes far longer."""
    outcome = Outcome()
    with _measuring() if measured else contextlib.nullcontext():
        for number in range(inputs):
            given = target.make(random.Random(f"{seed}/{number}"))
            with hang_guard():
                problem = _try(target, given, outcome, measured)
            if problem is not None:
                outcome.problems.append(f"{name}, seed {seed}/{number}: {problem}")
    outcome.inputs = inputs
    return outcome


def _try(target: Target, given: Input, outcome: Outcome, measured: bool) -> str | None:
    if measured:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
    try:
        found = target.decode(given)
    except target.errors as error:
        outcome.refused += 1
        problem = None if str(error) else f"{type(error).__name__} that says nothing"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    else:
        outcome.accepted += 1
        problem = None
    if measured:
        held = tracemalloc.get_traced_memory()[1] - before
        outcome.peak = max(outcome.peak, held)
        if held > target.cap(given) + MARGIN_BYTES:
            return f"{held} bytes held for {len(given.data)}; its cap is {target.cap(given)}"
    if problem is None and "found" in locals() and not target.check(given, found):
        return "it returned what no encoder was given"
    return problem


@contextlib.contextmanager
def _measuring() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
