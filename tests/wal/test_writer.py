from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tidal import durable
from tidal.errors import NoSpace, StorageError, StoreClosed, StorePoisoned
from tidal.wal import active, segments
from tidal.wal.writer import _Task

NO_SPACE = NoSpace(errno.ENOSPC, "write")
IO_ERROR = StorageError(errno.EIO, "fault")


def test_sequences_count_events_from_one(log) -> None:
    writer = log.writer()
    assert writer.append(log.batch(3, 1)) == (1, 3)
    assert writer.append(log.batch(1, 4)) == (4, 4)
    assert writer.last_seq == 4
    assert log.events() == [1, 2, 3, 4]  # in the kernel on return, under every policy


def test_appending_alone_makes_nothing_durable(log) -> None:
    writer = log.writer()
    writer.append(log.batch(3, 1))
    assert writer.durable_seq == 0
    assert writer.flush() == writer.durable_seq == 3


@pytest.mark.parametrize(("sync", "durable"), [("group", 2), ("always", 2), ("interval:1h", 0), ("os", 0)])
def test_commit_waits_as_the_policy_says(log, sync: str, durable: int) -> None:
    writer = log.writer(sync)
    writer.commit(writer.append(log.batch(2, 1))[1])
    assert writer.durable_seq == durable


def test_waiting_for_what_is_not_there_is_an_error(log) -> None:
    writer = log.writer()
    writer.append(log.batch(2, 1))
    with pytest.raises(ValueError, match="sequence 3"):
        writer.wait_durable(3)


def test_an_interval_syncs_by_itself(log) -> None:
    synced = threading.Event()
    writer = log.writer("interval:1ms")
    original = writer._note_durable

    def note(info) -> None:
        original(info)
        if info.last_seq == 2:
            synced.set()

    writer._note_durable = note
    writer.append(log.batch(2, 1))
    assert synced.wait(timeout=60)
    assert writer.durable_seq == 2


def test_the_steps_are_in_the_order_that_durability_needs(log, faulty) -> None:
    writer = log.writer(segment_bytes=1)  # each batch fills a segment
    for first in (1, 2):
        writer.append(log.batch(1, first))
    writer.close()
    one, two = (path.name for path in log.paths)
    folder = log.directory.name
    assert faulty.calls == [
        ("create", one), ("append", one), ("sync", one), ("sync_dir", folder),
        ("append", one),
        ("sync", one), ("sync", one), ("append", one), ("sync", one),
        ("create", two), ("append", two), ("sync", two), ("sync_dir", folder),
        ("append", two),
        ("sync", two), ("append", two), ("sync", two),
    ]  # fmt: skip


def test_one_sync_serves_all_who_wait(log) -> None:
    writer = log.writer("group")
    writer.append(log.batch(1, 1))
    gate = threading.Lock()
    first_sync = threading.Event()
    segment = writer._chain[1]
    original = segment.sync

    def slow_sync() -> None:
        first_sync.set()
        with gate:
            original()

    segment.sync = slow_sync
    gate.acquire()
    threads = [threading.Thread(target=writer.wait_durable, args=(1,))]
    threads[0].start()
    first_sync.wait()
    for seq in range(2, 10):  # appended and waited for while the first sync runs
        writer.append(log.batch(1, seq))
        threads.append(threading.Thread(target=writer.wait_durable, args=(seq,)))
        threads[-1].start()
    while writer._jobs.qsize() < 8:
        first_sync.wait()
    gate.release()
    for thread in threads:
        thread.join()
    assert writer.durable_seq == 9
    assert writer.sync_count == 2


def test_threads_share_one_log(log) -> None:
    writer = log.writer("group", segment_bytes=3_000)
    ranges: list[tuple[int, int]] = []

    def run(size: int) -> None:
        for _ in range(20):
            written = writer.append(log.batch(size, 10_000 * size))
            writer.commit(written[1])
            assert writer.durable_seq >= written[1]
            ranges.append(written)

    threads = [threading.Thread(target=run, args=(size,)) for size in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    numbers = sorted(seq for first, last in ranges for seq in range(first, last + 1))
    assert numbers == list(range(1, 201))
    scan = log.scan()
    assert (scan.last_seq, scan.head_hash) == (200, writer.head_hash)
    assert scan.segments == writer.segments
    assert len(scan.segments) > 1
    assert writer.bytes_written == sum(path.stat().st_size for path in log.paths)


def test_a_writer_continues_the_log_in_a_new_segment(log) -> None:
    first = log.filled([2, 3])
    before = log.paths[0].read_bytes()
    second = log.filled([4], next_seq=first.last_seq + 1, previous_hash=first.head_hash)
    assert log.events() == list(range(1, 10))
    assert log.paths[0].read_bytes() == before
    assert log.scan().head_hash == second.head_hash


def test_a_writer_that_writes_nothing_leaves_nothing(log) -> None:
    log.writer().close()
    assert log.paths == []


def test_an_existing_file_is_never_written_over(log) -> None:
    log.filled([2])
    before = log.paths[0].read_bytes()
    with pytest.raises(StorageError):
        log.writer().append(log.batch(1, 1))
    assert log.paths[0].read_bytes() == before


# ------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize("short", [0, 100])
def test_a_full_disk_loses_nothing_and_passes(log, faulty, short: int) -> None:
    writer = log.writer()
    writer.append(log.batch(2, 1))
    faulty.errors["append"], faulty.short = NO_SPACE, short
    with pytest.raises(NoSpace):
        writer.append(log.batch(2, 3))
    assert writer.last_seq == 2
    assert writer.append(log.batch(1, 3)) == (3, 3)
    writer.close()
    assert log.events() == [1, 2, 3]


def test_a_full_disk_at_a_new_segment_passes(log, faulty) -> None:
    writer = log.writer()
    faulty.errors["append"], faulty.short = NO_SPACE, 50
    with pytest.raises(NoSpace):
        writer.append(log.batch(1, 1))
    assert log.paths == []
    assert writer.append(log.batch(1, 1)) == (1, 1)


def test_a_full_disk_at_the_seal_passes(log, faulty) -> None:
    writer = log.writer(segment_bytes=1)
    writer.append(log.batch(1, 1))
    faulty.errors["append"], faulty.short = NO_SPACE, 50
    with pytest.raises(NoSpace):
        writer.append(log.batch(1, 2))
    assert writer.append(log.batch(1, 2)) == (2, 2)
    writer.close()
    assert log.events() == [1, 2]


def test_no_file_can_be_made(log, faulty) -> None:
    writer = log.writer()
    faulty.errors["create"] = StorageError(errno.EMFILE, "open")
    with pytest.raises(StorageError) as caught:
        writer.append(log.batch(1, 1))
    assert not isinstance(caught.value, StorePoisoned)
    assert writer.append(log.batch(1, 1)) == (1, 1)


@pytest.mark.parametrize("error", [IO_ERROR, NO_SPACE])
@pytest.mark.parametrize("call", ["sync", "sync_dir"])
def test_a_failed_sync_of_a_new_segment_is_final(log, faulty, call: str, error: StorageError) -> None:
    writer = log.writer()
    faulty.errors[call] = error
    assert_poisoned(log, writer, lambda: writer.append(log.batch(1, 1)), error)


@pytest.mark.parametrize("error", [IO_ERROR, NO_SPACE])
def test_a_failed_sync_is_final(log, faulty, error: StorageError) -> None:
    writer = log.writer("group")
    writer.commit(writer.append(log.batch(2, 1))[1])
    writer.append(log.batch(1, 3))
    faulty.errors["sync"] = error
    assert_poisoned(log, writer, writer.flush, error)
    assert writer.durable_seq == 2
    writer.wait_durable(2)  # what was durable still is


def test_a_failed_background_sync_is_final(log, faulty) -> None:
    writer = log.writer("interval:1ms")
    failed = threading.Event()
    original = writer._fail
    writer._fail = lambda error: (original(error), failed.set())[0]
    writer.append(log.batch(1, 1))
    writer.flush()
    writer._chain[1]._fail = writer._fail
    faulty.errors["sync"] = IO_ERROR
    writer.append(log.batch(1, 2))
    assert failed.wait(timeout=60)
    assert_poisoned(log, writer, lambda: writer.append(log.batch(1, 3)), IO_ERROR)


def test_a_failed_write_is_final(log, faulty) -> None:
    writer = log.writer()
    writer.append(log.batch(1, 1))
    faulty.errors["append"], faulty.short = IO_ERROR, 10
    assert_poisoned(log, writer, lambda: writer.append(log.batch(1, 2)), IO_ERROR)


def test_a_failed_truncation_is_final(log, faulty) -> None:
    writer = log.writer()
    writer.append(log.batch(1, 1))
    faulty.errors |= {"append": NO_SPACE, "truncate": IO_ERROR}
    assert_poisoned(log, writer, lambda: writer.append(log.batch(1, 2)), IO_ERROR)


def test_the_first_failure_is_the_one_that_is_kept(log) -> None:
    writer = log.writer()
    for error in (IO_ERROR, NO_SPACE):
        assert writer._fail(error).__cause__ is error
    assert writer.error.__cause__ is IO_ERROR


def test_an_interval_is_timed_anew_for_each_first_unsynced_append(log) -> None:
    writer = log.writer("interval:1ms")
    for seq in range(1, 30):
        writer.append(log.batch(1, seq))
        while writer.durable_seq < seq:  # by the timer: nobody asks
            time.sleep(0.0005)
    assert writer.sync_count >= 29


def test_a_bug_in_the_keeper_is_final(log) -> None:
    def broken_clock() -> int:
        if threading.current_thread() is not threading.main_thread():
            raise ZeroDivisionError
        return 0

    writer = log.writer(wall_clock=broken_clock)
    with pytest.raises(StorePoisoned, match="ZeroDivisionError"):
        writer.append(log.batch(1, 1))
    with pytest.raises(StorePoisoned):
        writer.flush()


def assert_poisoned(log, writer, call, cause: StorageError) -> None:
    """The call fails, all later ones fail with the same cause, and nothing touches a file any more."""
    with pytest.raises(StorePoisoned) as caught:
        call()
    assert caught.value.__cause__ is cause
    calls = list(log.fs.calls)
    for later in (lambda: writer.append(log.batch(1, 9)), writer.flush, writer.close):
        with pytest.raises(StorePoisoned) as caught:
            later()
        assert caught.value.__cause__ is cause
    assert log.fs.calls == calls
    assert writer.error is not None


# ------------------------------------------------------------------------------------ interruptions


@pytest.mark.parametrize(("moment", "kept"), [("errors", False), ("late_errors", True)])
@pytest.mark.parametrize("short", [0, 100])
def test_an_interrupted_append_is_in_the_log_or_not(log, faulty, moment: str, kept: bool, short: int) -> None:
    writer = log.writer()
    writer.append(log.batch(2, 1))
    getattr(faulty, moment)["append"] = KeyboardInterrupt()
    faulty.short = short
    with pytest.raises(KeyboardInterrupt):
        writer.append(log.batch(2, 3))
    expected = 4 if kept else 2
    assert writer.settle() == expected
    assert writer.append(log.batch(1, expected + 1)) == (expected + 1, expected + 1)
    writer.close()
    assert log.events() == list(range(1, expected + 2))
    assert log.scan().head_hash == writer.head_hash


def test_an_interrupt_at_any_line_of_a_write_reuses_no_sequence(log) -> None:
    sources = {active.__file__, segments.__file__, durable.__file__}
    writer = log.writer()
    writer.append(log.batch(1, 1))
    target, struck = 0, True
    while struck:
        target += 1
        left, struck = target, False

        def trace(frame, event, argument):
            nonlocal left, struck
            if frame.f_code.co_filename not in sources:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    struck = True
                    raise KeyboardInterrupt
            return trace

        first = writer.last_seq + 1
        sys.settrace(trace)
        try:
            writer.append(log.batch(1, first))
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        assert writer.settle() in (first - 1, first)
        assert log.events() == list(range(1, writer.last_seq + 1))
    assert target > 20
    writer.close()
    assert log.scan().last_seq == writer.last_seq


# In a process of its own: a signal that comes late would end the test run, not the test.
STORM = """
import json, random, signal, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import Log

log = Log(Path(sys.argv[1]))
writer = log.writer("group", segment_bytes=20_000)
storm, main, inside = threading.Event(), threading.main_thread().ident, False

def interrupt(number, frame):  # as Ctrl-C, where the loop can count it
    global inside
    if inside:
        inside = False
        raise KeyboardInterrupt

def strike():
    pauses = random.Random(3)
    while not storm.wait(pauses.uniform(0, 0.004)):
        signal.pthread_kill(main, signal.SIGINT)

signal.signal(signal.SIGINT, interrupt)
acknowledged, struck = [], 0
thread = threading.Thread(target=strike)
thread.start()
while struck < 200:
    try:
        inside = True
        written = writer.append(log.batch(1, writer.settle() + 1))
        writer.commit(written[1])
        acknowledged.append(written[0])
        inside = False
    except KeyboardInterrupt:
        struck += 1
storm.set()
thread.join()
writer.close()
print(json.dumps([acknowledged, writer.last_seq]))
"""


def test_a_storm_of_signals_reuses_no_sequence(log) -> None:
    child = subprocess.run(
        [sys.executable, "-c", STORM, str(log.directory), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    acknowledged, last_seq = json.loads(child.stdout)
    assert acknowledged
    assert log.events() == list(range(1, last_seq + 1))
    assert len(set(acknowledged)) == len(acknowledged)
    assert log.scan().last_seq == last_seq


# ------------------------------------------------------------------------------------ the end


def test_a_closed_log_refuses(log) -> None:
    writer = log.filled([1])
    writer.close()  # again: nothing
    for call in (lambda: writer.append(log.batch(1, 2)), writer.flush, writer.settle):
        with pytest.raises(StoreClosed):
            call()
    assert writer.last_seq == writer.durable_seq == 1


def test_a_failed_first_write_leaves_no_empty_segment_behind(log) -> None:
    writer = log.writer()
    with pytest.raises(ValueError, match="split it"):
        writer.append(log.batch(0, 1))
    writer._ask(_Task.ROLL, None)
    assert len(log.paths) == 1
    writer.close()
    assert log.paths == []


def test_a_program_that_forgets_to_close_ends_and_loses_nothing(log) -> None:
    program = """
import sys, time
from pathlib import Path
import numpy as np
from tidal.durable import OsFileSystem
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.schema.events import EventBatch
from tidal.wal import LogWriter, SyncPolicy

writer = LogWriter(OsFileSystem(), Path(sys.argv[1]), identity=LogIdentity(bytes(range(16)), 1), next_seq=1,
                   previous_hash=NO_HASH, sync=SyncPolicy("os"), wall_clock=time.time_ns,
                   monotonic=time.monotonic)
one = np.ones(1, np.uint64)
writer.append(EventBatch(one, one.astype(np.uint8), one.astype(np.float32), one.view(np.int64)))
"""
    subprocess.run(
        [sys.executable, "-c", program, str(log.directory)],
        check=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    scan = log.scan()
    assert (scan.last_seq, scan.segments[-1].sealed) == (1, True)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_cannot_write(log) -> None:
    writer = log.writer()
    writer.append(log.batch(1, 1))
    with writer._lock:  # as another thread might hold it
        child = os.fork()
        if child == 0:
            try:
                writer.append(log.batch(1, 2))
            except StoreClosed:
                writer.close()
                os._exit(7)
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert writer.append(log.batch(1, 2)) == (2, 2)


@pytest.mark.parametrize("options", [{"segment_bytes": 0}, {"segment_bytes": 1 << 40}, {"next_seq": 0}])
def test_impossible_options_are_refused(log, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"segment_bytes|next_seq"):
        log.writer(**options)


def test_unsynced_bytes_are_those_that_no_sync_has_reached(log) -> None:
    writer = log.writer("os")
    assert writer.unsynced_bytes == 0
    writer.append(log.batch(1, 1))
    one = writer.unsynced_bytes
    assert one > 0
    writer.append(log.batch(1, 2))
    assert one < writer.unsynced_bytes < 3 * one
    assert writer.sync_within(60)
    assert (writer.unsynced_bytes, writer.durable_seq) == (0, 2)
    writer.append(log.batch(1, 3))
    writer.close()
    assert writer.unsynced_bytes == 0


def test_a_sync_may_take_longer_than_somebody_waits(log, faulty) -> None:
    writer, may_go_on = log.writer("os"), threading.Event()
    writer.append(log.batch(1, 1))
    leave, faulty.leave = faulty.leave, lambda call: call == "sync" and may_go_on.wait(60)
    assert not writer.sync_within(0.001)
    assert (writer.durable_seq, writer.append(log.batch(1, 2))) == (0, (2, 2))
    faulty.leave = leave
    may_go_on.set()
    assert writer.flush() == 2


def test_a_sync_that_fails_is_raised_to_who_waits_for_it(log, faulty) -> None:
    writer = log.writer("os")
    writer.append(log.batch(1, 1))
    faulty.errors["sync"] = StorageError("the disk is gone")
    with pytest.raises(StorePoisoned, match="the disk is gone"):
        writer.sync_within(60)
    with pytest.raises(StorePoisoned):
        writer.sync_within(60)


def test_want_of_memory_while_writing_is_final(log, faulty) -> None:
    """Half a batch may be in the file: an error must mean that nothing is."""
    writer = log.writer()
    writer.append(log.batch(2, 1))
    faulty.late_errors["append"] = MemoryError()
    with pytest.raises(StorePoisoned, match="no memory"):
        writer.append(log.batch(2, 3))
    with pytest.raises(StorePoisoned):
        writer.append(log.batch(2, 3))


def test_want_of_memory_behind_a_write_is_final(log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is logged: its caller must not take it for refused and go on."""
    writer = log.writer("interval:1h")

    def fail(frame) -> None:
        raise MemoryError

    monkeypatch.setattr(writer, "_see_to_sync", fail)
    with pytest.raises(StorePoisoned, match="no memory"):
        writer.append(log.batch(2, 1))
    with pytest.raises(StorePoisoned):
        writer.append(log.batch(2, 1))
