"""The newest state of each node, whole; reads sum over the nodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regionkit import NS, SCHEMA, STATES, node_state

from tidal import SchemaBuilder, SignalLedger
from tidal.errors import FormatError, SchemaError, UnknownMeasure
from tidal.regions import CrdtSignalState, NodeState, SignalsPart

AT = 2000 * NS
IDS = np.arange(4, dtype=np.uint64)


def union(*parts: tuple[int, int]) -> SignalLedger:
    """One ledger over the first events of some nodes' logs."""
    ledger = SignalLedger(SCHEMA, shards=1)
    for node, seq in parts:
        ledger.merge(node_state(node, seq).ledger)
    return ledger


def state_of(*parts: tuple[int, int]) -> CrdtSignalState:
    made = CrdtSignalState(SCHEMA)
    for node, seq in parts:
        made.offer(node_state(node, seq))
    return made


def test_the_newest_of_a_node_is_kept_and_never_added() -> None:
    state = state_of((1, 5))
    assert not state.offer(node_state(1, 5)) and not state.offer(node_state(1, 3))
    assert state.offer(node_state(1, 6))
    assert sum(state.reads().counts("view", IDS, "all", at=AT).tolist()) == 6


def test_a_later_writer_wins_with_fewer_events() -> None:
    """What the earlier one had beyond it was never durable, or never came."""
    state = state_of((1, 5))
    assert state.offer(node_state(1, 4, epoch=2)) and not state.offer(node_state(1, 9, epoch=1))


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8)), max_size=3, unique_by=lambda it: it[0])
)
def test_reads_are_those_of_one_ledger_with_all_events(parts: list[tuple[int, int]]) -> None:
    reads, ledger = state_of(*parts).reads(), union(*parts)
    for window in ("1h", "all"):
        counts = ledger.counts("view", IDS, window, at=AT)
        assert reads.counts("view", IDS, window, at=AT).tolist() == counts.tolist()
        assert [reads.count("view", int(it), window, at=AT) for it in IDS] == counts.tolist()
    velocities = ledger.velocities("view", IDS, "1h", at=AT)
    assert reads.velocities("view", IDS, "1h", at=AT).tolist() == velocities.tolist()
    assert [reads.velocity("view", int(it), "1h", at=AT) for it in IDS] == velocities.tolist()
    scores = ledger.scores("view", IDS, at=AT)
    np.testing.assert_allclose(reads.scores("view", IDS, at=AT), scores, rtol=1e-12)
    for by in ("score", "count.1h", "velocity.1h"):
        ours, theirs = reads.top("view", 2, by=by, at=AT), ledger.top("view", 2, by=by, at=AT)
        np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-12)


def test_sums_are_in_the_order_of_the_nodes_whatever_came_first() -> None:
    forth, back = state_of((0, 5), (1, 7), (2, 3)), state_of((2, 3), (1, 7), (0, 5))
    assert forth.encode() == back.encode()
    scores = [it.reads().scores("view", IDS, at=AT).tobytes() for it in (forth, back)]
    assert scores[0] == scores[1]
    assert forth.reads().score("view", 1, at=AT) == float(np.frombuffer(scores[0])[1])


def test_all_nodes_are_read_at_one_time_not_before_the_newest_event() -> None:
    reads = state_of((0, 1), (1, 8)).reads()
    assert reads.score("view", 0, at=0) == reads.score("view", 0, at=1007 * NS)


def test_a_measure_that_is_not_kept_is_unknown() -> None:
    schema = SchemaBuilder().signal("view", half_life="1h", windows=("1h",)).build()
    with pytest.raises(UnknownMeasure):
        CrdtSignalState(schema).reads().velocity("view", 1, "1h", at=AT)


def test_states_of_another_schema_do_not_merge() -> None:
    other = SchemaBuilder().signal("like", half_life="1h").build()
    with pytest.raises(SchemaError, match="one schema"):
        CrdtSignalState(SCHEMA).merge(CrdtSignalState(other))
    with pytest.raises(FormatError, match="with this schema"):
        NodeState.decode(node_state(1, 5).encode(), other)


@pytest.mark.parametrize("key", STATES)
def test_what_was_written_is_read(key: tuple[int, int, int, int, int]) -> None:
    state = STATES[key]
    again = NodeState.decode(state.encode(), SCHEMA)
    assert (again.node, again.store_id, again.version) == (state.node, state.store_id, state.version)
    assert again.encode() == state.encode()


def test_no_byte_can_change_unseen() -> None:
    data = node_state(1, 5).encode()
    for place in range(0, len(data), 37):
        with pytest.raises(FormatError):
            NodeState.decode(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], SCHEMA)
    with pytest.raises(FormatError):
        NodeState.decode(data[:-64], SCHEMA)


def test_two_stores_with_one_number_are_told_apart() -> None:
    part = SignalsPart(state_of((1, 5)))
    for seq in (3, 6):  # a later state, or one that would be passed over
        with pytest.raises(FormatError, match="another store than before"):
            part.decode(node_state(1, seq, store=9).encode())


def test_a_state_with_this_nodes_number_is_of_its_own_store() -> None:
    """Else another region with this number, which is heard first, would be told of in its place."""
    part = SignalsPart(CrdtSignalState(SCHEMA), stores={1: (1).to_bytes(16, "big")})
    with pytest.raises(FormatError, match="two regions have one number"):
        part.decode(node_state(1, 6, store=9).encode())
    assert part.take(part.decode(node_state(1, 6).encode()))
