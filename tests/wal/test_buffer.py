from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidal.durable import OsFileSystem
from tidal.errors import NoSpace, StorageError, StoreClosed, StorePoisoned
from tidal.format.segment import LogIdentity
from tidal.schema.events import EventRow
from tidal.wal import LogWriter, read_batches, repair_tail, scan_log
from tidal.wal.buffer import BufferedLogWriter

BY_HAND = "buffered:1h"  # the thread sleeps; only calls drain
NO_SPACE = NoSpace(errno.ENOSPC, "write")
IO_ERROR = StorageError(errno.EIO, "fault")


def row(seq: int, user: int | None = None) -> EventRow:
    return seq, 0, 1.0, 1_700_000_000_000_000_000 + seq, user, None, None


def put(writer: BufferedLogWriter, count: int) -> list[int]:
    """Put events whose entity ids are their sequences."""
    return [writer.put(row(writer.last_seq + 1)) for _ in range(count)]


# ------------------------------------------------------------------------------------ order


def test_an_event_has_its_sequence_before_the_log_has_it(log) -> None:
    writer = log.writer(BY_HAND)
    assert put(writer, 3) == [1, 2, 3]
    assert (writer.last_seq, writer.waiting, writer.durable_seq, log.events()) == (3, 3, 0, [])
    assert writer.flush() == writer.durable_seq == 3
    assert (writer.waiting, log.events()) == (0, [1, 2, 3])


def test_a_writer_goes_on_where_the_log_ends(log) -> None:
    before = log.filled([4])
    writer = log.writer(BY_HAND, next_seq=5, previous_hash=before.head_hash, identity=LogIdentity(
        log.identity.store_id, epoch=2))  # fmt: skip
    assert (writer.last_seq, writer.waiting) == (4, 0)
    assert put(writer, 2) == [5, 6]
    writer.close()
    assert log.events() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("call", ["append", "settle", "flush", "wait_durable", "close"])
def test_what_waits_comes_before_every_other_call(log, call: str) -> None:
    writer = log.writer(BY_HAND)
    put(writer, 2)
    arguments = {"append": (log.batch(2, 3),), "wait_durable": (2,)}.get(call, ())
    result = getattr(writer, call)(*arguments)
    expected = [1, 2, 3, 4] if call == "append" else [1, 2]
    assert log.events() == expected
    assert writer.waiting == 0
    if call == "append":
        assert result == (3, 4)
        assert put(writer, 1) == [5]
    elif call in ("flush", "wait_durable"):
        assert writer.durable_seq == 2


def test_optional_ids_come_back_where_they_were_given(log) -> None:
    writer = log.writer(BY_HAND)
    for user in (7, None, 0):
        writer.put(row(1, user))
    writer.close()
    ((_, batch),) = read_batches(log.fs, log.directory)
    assert batch.user_id.values.tolist() == [7, 0, 0]
    assert batch.user_id.valid.tolist() == [True, False, True]
    assert batch.session_id is batch.event_id is None


def test_threads_share_one_order(log) -> None:
    writer = log.writer("buffered:1ms", queue_events=50, segment_bytes=4000)
    given: list[dict[int, int]] = [{} for _ in range(4)]

    def write(thread: int) -> None:
        for number in range(400):
            entity = thread * 1000 + number
            if number % 37 == 0:
                batch = log.batch(2, entity)
                first, last = writer.append(batch)
                given[thread] |= {first: entity, last: entity + 1}
            else:
                given[thread][writer.put(row(entity))] = entity

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    of_seq = {seq: entity for part in given for seq, entity in part.items()}
    assert sorted(of_seq) == list(range(1, len(of_seq) + 1))
    assert len(of_seq) == sum(map(len, given))  # none was given twice
    assert log.events() == [of_seq[seq] for seq in sorted(of_seq)]


# ------------------------------------------------------------------------------------ the thread


def durable_event(writer: LogWriter, seq: int) -> threading.Event:
    """Return an event that is set when this sequence is durable."""
    reached, original = threading.Event(), writer._note_durable

    def note(info) -> None:
        original(info)
        if info.last_seq >= seq:
            reached.set()

    writer._note_durable = note
    return reached


def test_the_interval_drains_and_syncs_by_itself(log) -> None:
    writer = log.writer("buffered:1ms")
    for seq in (1, 2, 3):
        reached = durable_event(writer, seq)
        assert put(writer, 1) == [seq]
        assert reached.wait(timeout=60)
    assert log.events() == [1, 2, 3]


def test_many_events_do_not_wait_for_the_interval(log) -> None:
    writer = log.writer(BY_HAND, queue_events=4000)
    reached = durable_event(writer, 1)
    put(writer, 1000)
    for _ in range(2000):  # the thread may miss a ring while it wakes up
        put(writer, 1)
        if reached.wait(timeout=0.03):
            break
    assert writer.durable_seq >= 1000


def test_nothing_is_put_between_the_queue_and_a_batch(log) -> None:
    writer = log.writer(BY_HAND)
    put(writer, 2)
    given: list[int] = []
    thread = threading.Thread(target=lambda: given.append(writer.put(row(5))))
    original, calls = writer._write_waiting, []

    def write_waiting() -> None:
        original()
        calls.append(1)
        if len(calls) == 2:  # the queue is empty now, for the batch that comes next
            thread.start()
            thread.join(timeout=0.1)

    writer._write_waiting = write_waiting
    assert writer.append(log.batch(2, 3)) == (3, 4)
    thread.join()
    assert given == [5]
    writer.close()
    assert log.events() == [1, 2, 3, 4, 5]


# ------------------------------------------------------------------------------------ a full disk


def test_a_full_queue_is_written_by_who_comes_next(log) -> None:
    writer = log.writer(BY_HAND, queue_events=4)
    put(writer, 5)
    assert log.events() == [1, 2, 3, 4]
    assert writer.waiting == 1


def test_a_full_disk_refuses_once_the_queue_is_full_and_loses_nothing(log, faulty, monkeypatch) -> None:
    writer = log.writer(BY_HAND, queue_events=4)
    writer.append(log.batch(1, 1))
    faulty.short = 30  # a part of the frame is written, and must go again
    put(writer, 4)
    for _ in range(3):
        faulty.errors["append"] = NO_SPACE
        with pytest.raises(NoSpace):
            writer.put(row(99))
        assert (writer.last_seq, writer.waiting) == (5, 4)
    faulty.errors["append"] = NO_SPACE
    with pytest.raises(NoSpace):
        writer.append(log.batch(1, 6))
    faulty.errors["append"] = NO_SPACE
    with pytest.raises(NoSpace):
        writer.flush()
    assert put(writer, 2) == [6, 7]  # there is room again
    writer.close()
    assert log.events() == [1, 2, 3, 4, 5, 6, 7]


def test_the_thread_tries_again_when_the_disk_was_full(log, faulty, monkeypatch) -> None:
    monkeypatch.setattr("tidal.wal.buffer._RETRY_SECONDS", 0.001)
    writer = log.writer("buffered:1ms")
    writer.append(log.batch(1, 1))
    faulty.errors["append"] = NO_SPACE
    reached = durable_event(writer, 2)
    put(writer, 1)
    assert reached.wait(timeout=60)
    assert log.events() == [1, 2]


def test_closing_on_a_full_disk_says_what_is_lost(log, faulty) -> None:
    writer = log.writer(BY_HAND)
    writer.append(log.batch(1, 1))
    put(writer, 3)
    faulty.errors["append"] = NO_SPACE
    with pytest.raises(NoSpace, match="3 accepted events are not in the log"):
        writer.close()
    writer.close()
    with pytest.raises(StoreClosed):
        writer.put(row(5))
    assert log.events() == [1]


# ------------------------------------------------------------------------------------ what is final


def test_a_failed_drain_is_final_and_counted(log, faulty) -> None:
    writer = log.writer(BY_HAND)
    writer.append(log.batch(1, 1))
    put(writer, 3)
    faulty.errors["append"] = IO_ERROR
    with pytest.raises(StorePoisoned):
        writer.flush()
    for call in (lambda: writer.put(row(5)), lambda: writer.append(log.batch(1, 5)), writer.flush):
        with pytest.raises(StorePoisoned, match="3 accepted events are not in the log"):
            call()
    assert writer.last_seq == 4
    with pytest.raises(StorePoisoned):
        writer.close()


def test_a_failure_in_the_thread_is_told_to_the_next_caller(log, faulty) -> None:
    writer = log.writer("buffered:1ms")
    writer.append(log.batch(1, 1))
    faulty.errors["append"] = IO_ERROR
    put(writer, 1)
    writer._drainer.join(timeout=60)
    with pytest.raises(StorePoisoned, match="1 accepted events are not in the log"):
        put(writer, 1)


def test_a_bug_in_the_thread_poisons(log, monkeypatch) -> None:
    writer = log.writer("buffered:1ms")
    monkeypatch.setattr("tidal.wal.buffer.batch_of_rows", lambda rows: 1 / 0)
    put(writer, 1)
    writer._drainer.join(timeout=60)
    with pytest.raises(StorePoisoned, match="ZeroDivisionError"):
        put(writer, 1)


def test_close_accepts_nothing_any_more(log) -> None:
    writer = log.writer("buffered:1ms")
    refused = threading.Event()
    accepted = []

    def write() -> None:
        with contextlib.suppress(StoreClosed):
            while True:
                accepted.append(writer.put(row(writer.last_seq + 1)))
        refused.set()

    thread = threading.Thread(target=write)
    thread.start()
    while len(accepted) < 100:
        time.sleep(0.001)
    writer.close()
    thread.join()
    assert refused.is_set()
    assert log.events() == accepted


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_cannot_put(log) -> None:
    writer = log.writer(BY_HAND)
    put(writer, 1)
    with writer._putting, writer._draining:  # as another thread might hold them
        child = os.fork()
        if child == 0:
            try:
                writer.put(row(2))
            except StoreClosed:
                writer.close()
                os._exit(7)
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert put(writer, 1) == [2]
    writer.close()
    assert log.events() == [1, 2]


@pytest.mark.parametrize("queue_events", [0, 65_537])
def test_impossible_queues_are_refused(log, queue_events: int) -> None:
    with pytest.raises(ValueError, match="queue_events"):
        log.writer(BY_HAND, queue_events=queue_events)


# ------------------------------------------------------------------------------------ interruptions


@pytest.mark.parametrize(("moment", "kept"), [("errors", False), ("late_errors", True)])
def test_an_interrupted_drain_writes_nothing_twice(log, faulty, moment: str, kept: bool) -> None:
    writer = log.writer(BY_HAND)
    writer.append(log.batch(1, 1))
    put(writer, 3)
    getattr(faulty, moment)["append"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    assert put(writer, 1) == [5]
    writer.close()
    assert log.events() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("moment", "kept"), [("errors", False), ("late_errors", True)])
def test_an_interrupted_append_takes_its_sequences_or_not(log, faulty, moment: str, kept: bool) -> None:
    writer = log.writer(BY_HAND)
    writer.append(log.batch(1, 1))
    getattr(faulty, moment)["append"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        writer.append(log.batch(2, 2))
    following = 4 if kept else 2
    assert writer.put(row(following)) == following
    writer.close()
    assert log.events() == list(range(1, following + 1))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "append", "settle", "flush"]),
        st.sampled_from([None, None, None, "full", "interrupted before", "interrupted after"]),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_the_log_is_what_was_accepted_whatever_fails(log, faulty, tmp_path_factory, steps) -> None:
    fs = type(faulty)()
    one = type(log)(tmp_path_factory.mktemp("wal"))
    writer = one.writer(BY_HAND, fs=fs, queue_events=3)
    writer._wake_at = 4  # only calls drain
    writer.append(one.batch(1, 1))
    accepted = [1]
    for number, (call, fault) in enumerate(steps):
        entity = 100 + 10 * number
        fs.errors = {"append": NO_SPACE} if fault == "full" else {}
        if fault is not None and fault.startswith("interrupted"):
            (fs.errors if fault.endswith("before") else fs.late_errors)["append"] = KeyboardInterrupt()
        events = {"put": [entity], "append": [entity, entity + 1]}.get(call, [])
        arguments = {"put": (row(entity),), "append": (one.batch(2, entity),)}.get(call, ())
        try:
            result = getattr(writer, call)(*arguments)
            accepted += events
            assert writer.last_seq == len(accepted)
            assert call != "append" or result == (len(accepted) - 1, len(accepted))
            assert call == "append" or result == len(accepted)
        except NoSpace:
            assert fault == "full"
        except KeyboardInterrupt:
            fs.errors, fs.late_errors = {}, {}
            if call == "append" and writer.settle() > len(accepted):
                accepted += events  # all of it, or nothing
        fs.errors, fs.late_errors = {}, {}
        logged = one.events()
        assert logged == accepted[: len(logged)]
        assert len(logged) >= len(accepted) - writer.waiting  # more, where an interruption came late
    writer.close()
    assert one.events() == accepted


STORM = """
import signal, sys, threading, time
from pathlib import Path
from tidal.durable import OsFileSystem
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.wal import parse_sync
from tidal.wal.buffer import BufferedLogWriter

writer = BufferedLogWriter(OsFileSystem(), Path(sys.argv[1]), identity=LogIdentity(bytes(16), 1), next_seq=1,
    previous_hash=NO_HASH, sync=parse_sync("buffered:1ms"), wall_clock=time.time_ns,
    monotonic=time.monotonic, segment_bytes=20_000, queue_events=64)
main, strikes, done, inside = threading.main_thread().ident, int(sys.argv[2]), [], False

def interrupt(number, frame):  # as Ctrl-C, where the loop can count it
    global inside
    if inside:
        inside = False
        raise KeyboardInterrupt

def strike():
    for _ in range(strikes):
        time.sleep(0.0005)
        signal.pthread_kill(main, signal.SIGINT)
    done.append(True)

thread = threading.Thread(target=strike)
told, hits, number = {}, 0, 0
signal.signal(signal.SIGINT, interrupt)
thread.start()
while not done:
    try:
        inside = True
        while not done:
            number += 1
            seq = writer.put((number, 0, 1.0, number, None, None, None))
            told[number] = seq
            if number % 50 == 0:
                writer.settle()
        inside = False
    except KeyboardInterrupt:
        hits += 1
writer.close()
sys.stdout.write(f"{hits} {writer.last_seq}\\n" + "\\n".join(f"{n} {s}" for n, s in told.items()))
"""


def test_a_storm_of_interruptions_uses_no_sequence_twice(tmp_path: Path) -> None:
    directory = tmp_path / "wal"
    directory.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", STORM, str(directory), "300"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    head, *lines = done.stdout.splitlines()
    hits, last_seq = map(int, head.split())
    assert hits > 50
    numbers = [
        int(entity) for _, batch in read_batches(OsFileSystem(), directory) for entity in batch.entity_id
    ]
    assert len(numbers) == last_seq
    assert numbers == sorted(set(numbers))  # each once, in order
    for line in lines:
        number, seq = map(int, line.split())
        assert numbers[seq - 1] == number


# ------------------------------------------------------------------------------------ a killed process

CHILD = """
import sys, time
from pathlib import Path
from tidal.durable import OsFileSystem
from tidal.format.segment import LogIdentity
from tidal.wal import parse_sync, repair_tail, scan_log
from tidal.wal.buffer import BufferedLogWriter

directory, epoch = Path(sys.argv[1]), int(sys.argv[2])
fs, identity = OsFileSystem(), LogIdentity(bytes(16), epoch)
scan = repair_tail(fs, scan_log(fs, directory, identity), directory.parent / "quarantine")
writer = BufferedLogWriter(fs, directory, identity=identity, next_seq=scan.last_seq + 1,
    previous_hash=scan.head_hash, sync=parse_sync("buffered:1ms"), wall_clock=time.time_ns,
    monotonic=time.monotonic, segment_bytes=4000)
while True:
    seq = writer.put((writer.last_seq + 1, 0, 1.0, 1, None, None, None))
    if seq % 500 == 0:
        writer.settle()
        sys.stdout.write(f"{seq}\\n")
        sys.stdout.flush()
"""


def test_a_killed_process_leaves_a_prefix(tmp_path: Path) -> None:
    directory = tmp_path / "wal"
    directory.mkdir()
    fs = OsFileSystem()
    for epoch in range(1, 5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(directory), str(epoch)],
            stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert child.stdout is not None
        settled = [int(child.stdout.readline()) for _ in range(3)][-1]
        child.send_signal(signal.SIGKILL)
        child.communicate()
        scan = repair_tail(
            fs, scan_log(fs, directory, LogIdentity(bytes(16), epoch + 1)), tmp_path / "quarantine"
        )
        assert scan.last_seq >= settled  # what was handed to the kernel is there
        events = np.concatenate([batch.entity_id for _, batch in read_batches(fs, directory)])
        assert np.array_equal(events, np.arange(1, scan.last_seq + 1))


OPENING = CHILD.partition("while True")[0].replace("buffered:1ms", "buffered:1h")
PUTS = "for n in range(1000): writer.put((n, 0, 1.0, 1, None, None, None))"


def test_a_program_that_ends_without_closing_loses_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "wal"
    directory.mkdir()
    program = [sys.executable, "-c", OPENING + PUTS, str(directory), "1"]
    subprocess.run(program, check=True, cwd=Path(__file__).parents[2])
    assert sum(len(batch) for _, batch in read_batches(OsFileSystem(), directory)) == 1000
