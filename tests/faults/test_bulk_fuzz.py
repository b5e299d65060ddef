"""Ten million inputs for the decoders, no two the same: what can be and comes back so, or a named error.

tests/helpers/bytekit/bulk.py makes them. test_fuzz.py has what takes longer: memory counted, whole folders,
Arrow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bytekit.bulk import fuzz_in_bulk
from bytekit.bulk_all import BULK
from bytekit.fuzzing import DECODERS

from tidal.format import columns, frame, segment, singles

ALL_INPUTS = 10_000_000
EACH = 100_000
EACH_DEAR = 25_000  # of decoders that test_fuzz.py has, too
PLANTED = 40_000


@pytest.mark.parametrize("name", BULK)
def test_of_many_inputs_each_is_decoded_or_refused_by_name(name: str) -> None:
    share = BULK[name].share
    outcome = fuzz_in_bulk(name, BULK[name], (1,), share)
    assert outcome.problems == []
    assert outcome.different >= share >= (EACH_DEAR if name in DECODERS else EACH)
    # Both sides are tried, and few inputs end at a hash, behind which the decoder begins.
    assert outcome.accepted > share // 100
    assert outcome.refused_by_field > share // 10
    assert outcome.refused_by_hash < share // 5


def test_the_inputs_are_as_many_as_is_said() -> None:
    assert sum(target.share for target in BULK.values()) >= ALL_INPUTS


def _unsqueeze(compression: int, stored: memoryview, plain_bytes: int) -> memoryview:
    return stored if compression == columns.PLAIN else _REAL(compression, stored, plain_bytes)


def _lenient(compression: int, stored: memoryview, plain_bytes: int) -> memoryview:
    return _REAL(compression % 2, stored, plain_bytes)


def _weights(words: Any, whole: bool) -> Any:
    return words.astype(np.uint32).view(np.float32)


_REAL = columns.unsqueeze


@pytest.mark.parametrize("name, module, attribute, planted", [
    pytest.param("words", columns, "unsqueeze", _unsqueeze, id="a length that is not checked"),
    pytest.param("words", columns, "unsqueeze", _lenient, id="an unknown compression taken"),
    pytest.param("segment header", segment, "REQUIRED_FLAGS", 0, id="an unknown flag passed over"),
    pytest.param("frame", frame, "EVENTS_PER_BATCH_MAX", 1 << 20, id="a wrong limit"),
    pytest.param("frame", frame, "SEQ_MAX", 1 << 65, id="a sum beyond 64 bits"),
    pytest.param("single", singles, "_weights", _weights, id="a value that is not checked"),
])  # fmt: skip
def test_a_planted_bug_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, module: Any, attribute: str, planted: Any
) -> None:
    assert fuzz_in_bulk(name, BULK[name], (2,), 2000).problems == []
    monkeypatch.setattr(module, attribute, planted)
    assert fuzz_in_bulk(name, BULK[name], (2,), PLANTED).problems


def test_a_run_is_the_same_again() -> None:
    first, again, other = (fuzz_in_bulk("seal", BULK["seal"], (seed,), 1000) for seed in (3, 3, 4))
    assert first.accepted == again.accepted
    assert np.array_equal(first.keys[0], again.keys[0])
    assert np.isin(first.keys[0], other.keys[0]).mean() < 0.01  # of nothing there is only one
