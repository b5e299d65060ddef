"""The gate: a closer sees nobody inside, and everybody gets through in the end."""

from __future__ import annotations

import itertools
import signal
import threading

import pytest

from tidal.gate import Gate


def test_a_closer_is_alone() -> None:
    gate, inside, seen = Gate(), [0], []
    count = threading.Lock()

    def worker() -> None:
        for _ in range(300):
            with gate.passing():
                with count:
                    inside[0] += 1
                with count:
                    inside[0] -= 1

    def closer() -> None:
        for _ in range(50):
            with gate.closed():
                seen.append(inside[0])

    threads = [threading.Thread(target=target) for target in (worker, worker, closer, closer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [0] * 100


def test_many_pass_at_once() -> None:
    gate, both = Gate(), threading.Barrier(2, timeout=30)

    def worker() -> None:
        with gate.passing():
            both.wait()  # breaks unless the other is inside too

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken


def test_an_error_inside_leaves_the_gate_open() -> None:
    gate, entered = Gate(), []
    for enter in (gate.passing, gate.closed):
        with pytest.raises(RuntimeError), enter():
            raise RuntimeError

    def enter_both() -> None:
        with gate.closed():
            entered.append("closed")
        with gate.passing():
            entered.append("passing")

    thread = threading.Thread(target=enter_both, daemon=True)  # a gate that is shut would keep it for ever
    thread.start()
    thread.join(timeout=30)
    assert entered == ["closed", "passing"]


def test_ctrl_c_leaves_nobody_inside() -> None:
    gate = Gate()

    def strike(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, strike)
    try:
        for n in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + n % 20))
                for _ in itertools.count():
                    with gate.passing():
                        pass
            except KeyboardInterrupt:
                pass
            assert not gate._inside
            assert gate._door.acquire(blocking=False)
            gate._door.release()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
