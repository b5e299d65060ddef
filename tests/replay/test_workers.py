"""Workers that are lost, runs that are interrupted, executors that are adapted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from obstore.store import LocalStore
from replaykit import Reluctant, flip

import tidal
from tidal.errors import CorruptArchive, InvalidOption, MissingExtra, WorkersLost
from tidal.replay import replaying, tasks
from tidal.replay.workers import ATTEMPTS_MAX, Workers


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "TASK_EVENTS", 60)  # of 360: six parts of four shards


@pytest.fixture(scope="module")
def serial(original: Path) -> bytes:
    """The state that tasks give where nothing is lost: they are added in one order, whoever is done first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replaying, "TASK_EVENTS", 60)
        return tidal.replay(original, executor=Reluctant()).ledger.state_digest()


def test_a_killed_process_costs_a_retry(original: Path, serial: bytes) -> None:
    killed: list[int] = []

    def kill(progress: tidal.ReplayProgress) -> None:
        if not killed:
            child = multiprocessing.active_children()[0]
            assert child.pid is not None
            killed.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)
            child.join()

    found = tidal.replay(original, executor=2, progress=kill)
    assert (found.ledger.state_digest(), len(killed)) == (serial, 1)
    assert multiprocessing.active_children() == []


def test_a_pool_of_the_caller_s_that_breaks_is_replaced(original: Path, serial: bytes) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL)
        assert tidal.replay(original, executor=pool).ledger.state_digest() == serial
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("lost", [[0], [3, 5], [7, 9]])
def test_a_function_is_asked_for_another_executor(original: Path, serial: bytes, lost: list[int]) -> None:
    made: list[Reluctant] = []

    def make() -> Executor:
        made.append(Reluctant([] if made else lost, BrokenExecutor))
        return made[-1]

    assert tidal.replay(original, executor=make).ledger.state_digest() == serial
    assert len(made) == 2


def test_a_task_that_was_cancelled_is_run_again(original: Path, serial: bytes) -> None:
    assert tidal.replay(original, executor=Reluctant([2], CancelledError)).ledger.state_digest() == serial


def test_workers_that_end_again_and_again(original: Path) -> None:
    made: list[Reluctant] = []

    def make() -> Executor:
        made.append(Reluctant(range(100), BrokenExecutor))
        return made[-1]

    with pytest.raises(WorkersLost, match="6 of 6 tasks"):
        tidal.replay(original, executor=make)
    assert len(made) == ATTEMPTS_MAX
    with pytest.raises(WorkersLost, match="give a function that makes one"):
        tidal.replay(original, executor=Reluctant([1], BrokenExecutor))


def test_what_a_task_raises_is_raised_and_cancels_the_others(store: Path) -> None:
    archive = sorted((store / "archive").glob("*.arc"))[0]
    flip(archive, -1)
    with pytest.raises(CorruptArchive) as caught:
        tidal.replay(store, executor=2)
    assert caught.value.path == archive  # through another process, too


def test_a_function_must_return_an_executor(original: Path) -> None:
    with pytest.raises(InvalidOption):
        tidal.replay(original, executor=lambda: 3)


# ------------------------------------------------------------------------------------ resuming


@pytest.mark.parametrize("objects", [False, True])
def test_an_interrupted_run_goes_on(
    original: Path, serial: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objects: bool
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    scratch: Any = LocalStore(str(folder)) if objects else folder
    with pytest.raises(OSError):
        tidal.replay(original, executor=Reluctant([4]), scratch=scratch)
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 5 * 4 and all(name.endswith(".partial") for name in left)
    flip(folder / left[0], 300)  # one of them is damaged: it is made again
    replayed: list[int] = []
    replay_here = tasks.replay_here
    monkeypatch.setattr(
        tasks,
        "replay_here",
        lambda work, source: replayed.append(source.first_seq) or replay_here(work, source),
    )
    found = tidal.replay(original, executor=Reluctant(), scratch=scratch, resume=True)
    assert replayed == [1, 241]
    assert found.ledger.state_digest() == serial
    assert list(folder.iterdir()) == []


def test_another_replay_does_not_take_its_parts(original: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        tidal.replay(original, executor=Reluctant([4]), scratch=tmp_path)
    left = len(list(tmp_path.iterdir()))
    likes = tidal.replay(original, signals=["like"], scratch=tmp_path, resume=True)
    assert likes.events == 120
    assert len(list(tmp_path.iterdir())) == left
    tidal.replay(original, scratch=tmp_path)  # begins anew, and leaves nothing
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_part_is_made_again(original: Path, serial: bytes, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        tidal.replay(original, executor=Reluctant([3]), scratch=tmp_path)
    for number, path in enumerate(sorted(tmp_path.iterdir())[:4]):
        path.write_bytes(path.read_bytes()[: number * 50])
    found = tidal.replay(original, scratch=tmp_path, resume=True)
    assert found.ledger.state_digest() == serial


# ------------------------------------------------------------------------------------ clusters


def test_a_dask_cluster_whose_worker_is_killed(original: Path, serial: bytes, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    killed: list[int] = []
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1",
            silence_logs=50, local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        warnings.simplefilter("ignore")

        def kill(progress: tidal.ReplayProgress) -> None:
            if not killed:
                killed.append(sorted(client.run(os.getpid).values())[0])
                os.kill(killed[0], signal.SIGKILL)

        found = tidal.replay(original, executor=client.get_executor(), progress=kill)
        assert (found.ledger.state_digest(), len(killed)) == (serial, 1)


class FakeRay(ModuleType):
    """What tidal uses of Ray, run at once."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.options: list[dict[str, Any]] = []

    def remote(self, *function: Callable[..., Any], **options: Any) -> Any:
        if not function:
            self.options.append(options)
            return lambda it: _Remote(it)
        return _Remote(*function)


class _Remote:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def remote(self, *arguments: Any, **named: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(self._function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        reference = ModuleType("an object reference")
        reference.future = lambda: future  # type: ignore[attr-defined]
        return reference


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    yield fake


def test_ray(original: Path, serial: bytes, ray: FakeRay, store: Path) -> None:
    assert tidal.replay(original, executor=tidal.RayExecutor()).ledger.state_digest() == serial
    executor = tidal.RayExecutor(num_cpus=1, max_retries=2)
    assert tidal.replay(original, executor=executor).ledger.state_digest() == serial
    assert ray.options == [{"num_cpus": 1, "max_retries": 2}] * 2  # for each of the two tasks
    flip(sorted((store / "archive").glob("*.arc"))[0], -1)
    with pytest.raises(CorruptArchive):
        tidal.replay(store, executor=executor)


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"tidaldb\[ray\]"):
        tidal.RayExecutor()


def test_obstore_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingExtra, match=r"tidaldb\[object\]"):
        tidal.replay("s3://bucket/archive")


def test_tasks_in_any_number() -> None:
    with Workers(Reluctant()) as workers:
        done: list[int] = []
        assert workers.run(pow, [(2, power) for power in range(50)], done.append) == [2**n for n in range(50)]
        assert done == list(range(50))
        assert workers.run(pow, [], done.append) == []
