"""Tasks run by any executor; what is lost with a worker is run again."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tidal.errors import InvalidOption, WorkersLost
from tidal.meters import said

_T = TypeVar("_T")

ExecutorGiven = Executor | Callable[[], Executor] | int

ATTEMPTS_MAX: Final = 3  # that end without a single result before the job is given up

_logger = logging.getLogger(__name__)


class Workers:
    """Runs the tasks of one replay. Use it in a ``with`` block.

    ``executor``: a number of processes, which are started here; an executor, of which nothing but ``submit``
    is used, and of its futures nothing but ``result`` and ``cancel``; or a function that returns one, which
    is asked for another when that one breaks. A ProcessPoolExecutor that breaks is replaced by one of as
    many processes; another executor must bring its own workers back.
    """

    def __init__(self, executor: ExecutorGiven) -> None:
        self._given = executor
        self._own: Executor | None = None  # to be shut down here
        self._current = self._first()

    def _first(self) -> Executor:
        given = self._given
        if isinstance(given, Executor):
            return given
        if type(given) is int and given >= 1:
            return self._take_over(_processes(given))
        if callable(given):
            made = given()
            if isinstance(made, Executor):
                return self._take_over(made)
        raise InvalidOption(
            f"executor={given!r}: give a concurrent.futures.Executor, a function that returns one, or a "
            "number of processes"
        )

    def run(
        self, task: Callable[..., _T], calls: Sequence[tuple[Any, ...]], done: Callable[[int], None]
    ) -> list[_T]:
        """Return what the task returns for each call's arguments, in their order; ``done`` is told of each.

        What a task raises is raised, and the others are cancelled. WorkersLost where workers end again and
        again, without any result between.
        """
        results: dict[int, _T] = {}
        fruitless = 0
        while len(results) < len(calls):
            before = len(results)
            broken = self._round(task, calls, results, done)
            if broken is None:
                break
            fruitless = 0 if len(results) > before else fruitless + 1
            if fruitless == ATTEMPTS_MAX:
                raise WorkersLost(
                    f"{len(calls) - len(results)} of {len(calls)} tasks of a replay ended their workers "
                    f"{ATTEMPTS_MAX} times: {broken!r}; often it is memory: use fewer processes, or scratch="
                ) from broken
            about = said("replay_worker_lost", error_type=type(broken).__name__)
            _logger.warning("a replay lost a worker (%r); its tasks are run again", broken, extra=about)
            if isinstance(broken, BrokenExecutor):
                self._replace(broken)
        return [results[number] for number in range(len(calls))]

    def _round(
        self,
        task: Callable[..., _T],
        calls: Sequence[tuple[Any, ...]],
        results: dict[int, _T],
        done: Callable[[int], None],
    ) -> BaseException | None:
        """Run what has no result yet; return what broke, if something did."""
        broken: BaseException | None = None
        running: dict[int, Future[_T]] = {}
        try:
            for number, arguments in enumerate(calls):
                if number not in results:
                    running[number] = self._current.submit(task, *arguments)
        except BrokenExecutor as error:
            broken = error
        try:
            for number, future in running.items():
                try:
                    results[number] = future.result()
                except (BrokenExecutor, CancelledError) as error:
                    broken = error
                else:
                    done(number)
        except BaseException:
            for future in running.values():
                future.cancel()
            raise
        return broken

    def _replace(self, error: BrokenExecutor) -> None:
        broken, given = self._current, self._given
        self.close()
        if isinstance(broken, ProcessPoolExecutor) and not callable(given):
            self._current = self._take_over(_processes(getattr(broken, "_max_workers", None)))
        elif callable(given):
            self._current = self._take_over(given())
        else:
            raise WorkersLost(
                f"the executor broke: {error!r}; give a function that makes one, and it is asked for another"
            ) from error

    def _take_over(self, executor: Executor) -> Executor:
        self._own = executor
        return executor

    def close(self) -> None:
        """Shut down what was started here."""
        own, self._own = self._own, None
        if own is not None:
            own.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InThisThread(Executor):
    """Runs each task here, when its result is asked for."""

    def submit(self, task: Callable[..., _T], /, *arguments: Any, **options: Any) -> Future[_T]:
        return _Later(lambda: task(*arguments, **options))


class _Later(Future[_T]):
    def __init__(self, run: Callable[[], _T]) -> None:
        super().__init__()
        self._run = run

    def result(self, timeout: float | None = None) -> _T:
        return self._run()


def _processes(count: int | None) -> ProcessPoolExecutor:
    """Return a pool of processes that inherit nothing: a fork may copy a lock that another thread holds."""
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
