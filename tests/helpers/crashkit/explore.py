"""How far to look: the crash states of a workload, of the recovery from each, and of the one after that."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from crashkit.bench import Bench
from crashkit.oracle import Found, Oracle
from tidal.testing.disk import CrashState, Image, Lose, Op, crash_states

DEPTH_MAX = 3  # a crash, one in the recovery from it, and one in the recovery from that


@dataclass
class Budget:
    """How many states to look at: ``per_op`` at each operation; and how often to go deeper."""

    per_op: int = 128
    nested_share: float = 0.02  # of the states, whose recovery is cut off too
    nested_per_op: int = 8
    states: int | None = None


@dataclass
class Explored:
    """What was seen of one workload."""

    name: str
    unique: int = 0  # different images that were opened
    by_depth: Counter[int] = field(default_factory=Counter)
    looked: int = 0  # crash states with their marks: an image counts again where more was acknowledged
    problems: list[str] = field(default_factory=list)


class Explorer:
    """Walks over the crash states of one workload; stops at the first problem unless told otherwise."""

    def __init__(self, name: str, bench: Bench, budget: Budget, seed: int = 0, begin: int = 0) -> None:
        self.result = Explored(name)
        self._bench, self.budget, self._begin = bench, budget, begin
        self._rng = random.Random(f"{name}/{seed}")
        self._oracle = Oracle(bench.sent)
        # After a failed sync a kill leaves what only the cache has: a disk that is replayed has no cache.
        journal = bench.disk.journal
        self._lost_at = next((at for at, op in enumerate(journal) if isinstance(op, Lose)), len(journal))
        self._found: dict[int, Found] = {}

    def run(self) -> Explored:
        for _ in self.steps():
            if self.result.problems or self._spent:
                break
        return self.result

    def steps_within(self, budget: Budget) -> Iterator[None]:
        """Look at one state after another, as far as a budget goes; yields after each image that was new."""
        self.budget = budget
        return self.steps()

    def steps(self) -> Iterator[None]:
        """Look at one state after another; yields after each image that was new."""
        disk = self._bench.disk
        yield from self._walk(disk.initial, disk.journal, {}, depth=1, where="")

    @property
    def _spent(self) -> bool:
        return self.budget.states is not None and self.result.unique >= self.budget.states

    def _walk(
        self, initial: Image, journal: list[Op], marks: Mapping[str, int], depth: int, where: str
    ) -> Iterator[None]:
        limit = self.budget.per_op if depth == 1 else self.budget.nested_per_op
        begin = self._begin if depth == 1 else 0
        for state in crash_states(initial, journal, limit=limit, rng=self._rng, begin=begin):
            self.result.looked += 1
            here = f"{where}op {state.op} state {state.number} of {state.possible}"
            told = {**marks, **state.marks}
            key = state.image.key
            if key not in self._found:
                found = self._oracle.look(state.image, store_made=bool(told.get("opened")))
                self._found[key] = found._replace(journal=())
                self.result.unique += 1
                self.result.by_depth[depth] += 1
                self._judge(state, told, here, depth)
                yield
                if found.problem is None and self._deeper(depth):
                    # Whatever a recovery that is cut off did: what was acknowledged must still be there.
                    yield from self._walk(state.image, list(found.journal), told, depth + 1, f"{here} > ")
            else:
                self._judge(state, told, here, depth)

    def _deeper(self, depth: int) -> bool:
        return depth < DEPTH_MAX and self._rng.random() < self.budget.nested_share

    def _judge(self, state: CrashState, told: Mapping[str, int], where: str, depth: int) -> None:
        found = self._found[state.image.key]
        last, problem = found.last_seq, found.problem
        must = told.get("durable", 0)
        if state.is_kill and depth == 1 and state.op <= self._lost_at:
            must = max(must, told.get("written", 0))
        if problem is None and last < must:
            problem = f"{must} events were acknowledged, {last} are left"
        if problem is None and last > told.get("sent", 0):
            problem = f"{told.get('sent', 0)} events were sent, {last} are there"
        if problem is None and found.start_seq - 1 > told.get("floor", 0):
            problem = f"the history begins at {found.start_seq}; all after {told.get('floor', 0)} is needed"
        if problem is not None:
            self.result.problems.append(f"{self.result.name}, {where}: {problem}")
