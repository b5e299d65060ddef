"""retain= as people write it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from tidal.archive.retention import Retention, parse_retain
from tidal.errors import InvalidRetention

DAY = 86400 * 10**9


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("forever", Retention()),
        ("90d", Retention(age_ns=90 * DAY)),
        ("1.5d", Retention(age_ns=36 * 3600 * 10**9)),
        (timedelta(weeks=2), Retention(age_ns=14 * DAY)),
        ("10GiB", Retention(size=10 << 30)),
        ("1.5 KiB", Retention(size=1536)),
        ("2MB", Retention(size=2_000_000)),
        ("0.3TB", Retention(size=300_000_000_000)),
        ("7B", Retention(size=7)),
        (0, Retention(size=0)),
        (12345, Retention(size=12345)),
    ],
)
def test_what_is_kept(text: str | int | timedelta, means: Retention) -> None:
    assert parse_retain(text) == means


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "90",
        "10 gb",
        "10gib",
        "-1d",
        "0d",
        "-5GiB",
        "1e3GiB",
        True,
        -1,
        1.5,
        None,
        timedelta(0),
        np.ones(2),
    ],
)
def test_what_is_refused(text: object) -> None:
    with pytest.raises(InvalidRetention, match=r'use "forever", an age .* or a size'):
        parse_retain(text)
