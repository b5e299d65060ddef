"""Every place that asks something of the disk is refused once, in every way: nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import errno
import logging
from pathlib import Path

import pytest
from faultkit.faulty import Fault, FaultyFs
from faultkit.sweep import WORKLOADS, Run, Sweep, writing

from tidal.errors import StorageError, StorePoisoned
from tidal.wal.active import ActiveSegment


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="tidal")  # a checkpoint in the background logs its failure


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_place_that_calls_the_disk_is_refused_once(name: str) -> None:
    sweep = Sweep(*WORKLOADS[name])
    _refuse_each_place(sweep)
    assert sweep.sites_hit.keys() == sweep.sites.keys()
    print(f"{name}: {sweep.injections} injections at {len(sweep.sites_hit)} of {len(sweep.sites)} places")


@pytest.mark.parametrize("name", ["writing", "recovering"])
def test_so_it_is_on_the_disk_of_this_machine(folder: Path, name: str) -> None:
    sweep = Sweep(*WORKLOADS[name], folder=folder)
    _refuse_each_place(sweep)
    # The log's thread makes some calls a little earlier or later from one run to the next.
    assert len(sweep.sites_hit) >= 0.9 * len(sweep.sites)


def _refuse_each_place(sweep: Sweep) -> None:
    sweep.calls()
    for site, number in sweep.sites.items():
        sweep.inject(Fault(number, errno.EIO))
        if site.startswith("append"):
            sweep.inject(Fault(number, errno.ENOSPC, short=True))
    assert not sweep.violations
    assert set(sweep.errors) <= {"NoSpace", "StorageError", "StorePoisoned", "StoreClosed"}


def test_a_full_disk_is_no_end(folder: Path) -> None:
    """ENOSPC in a write of the log, once: the same database goes on."""
    for number in _calls_of_ingest(folder):
        run = Run(folder / f"store-{number}", Fault(number, errno.ENOSPC, short=True))
        run.open()
        first = run.db
        run.ingest(3)
        run.ingest(200)
        run.ingest(3)
        assert run.db is first
        assert run.acknowledged == 206
        run.judge()


def _calls_of_ingest(folder: Path) -> range:
    counting = Run(folder / "count")
    counting.open()
    begin = counting.faulty.calls
    counting.ingest(3)
    counting.ingest(200)
    end = counting.faulty.calls
    counting.close()
    return range(begin + 1, end + 1)


@pytest.mark.parametrize("sync", ["group", "always"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_nothing_is_acknowledged_after_a_sync_that_failed(folder: Path, sync: str, code: int) -> None:
    """A failed sync is final, whatever its errno: the kernel answers the next one with success."""
    syncs = 0

    class FailsSync(FaultyFs):
        def _fails(self, call):  # the second sync of a segment's batches, and no other
            nonlocal syncs
            if self.fault is None or call.op != "sync" or call.path.suffix != ".seg":
                return False
            syncs += 1
            if syncs != 3:
                return False
            self.hit = call
            return True

    run = Run(folder / "store", sync=sync)
    run.faulty = FailsSync(Fault(0, code), run._segment_lost)
    db = run.open()
    assert db is not None
    run.ingest(2)
    refused = run.attempt(lambda: db.signal("view", "item-1"))
    assert type(refused) is StorePoisoned
    for again in (lambda: db.signal("view", "item-1"), db.flush, db.checkpoint):
        assert type(run.attempt(again)) is StorePoisoned
    assert db.durable_seq == 2
    assert db.count("view", "item-1", "all") >= 0  # reading goes on


def test_the_sweep_sees_a_log_that_goes_on_after_a_failed_sync(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The harness itself: a log that shrugs its failures off is found out."""

    def careless(self: ActiveSegment) -> None:
        with contextlib.suppress(StorageError):
            self._file.sync()

    monkeypatch.setattr(ActiveSegment, "sync", careless)
    sweep = Sweep(writing)
    sweep.calls()
    syncs = [number for site, number in sweep.sites.items() if site.startswith("sync by wal/active")]
    for number in syncs:
        sweep.inject(Fault(number, errno.EIO))
    assert sweep.violations
