"""A snapshot that never changes, as `tidal watch` gets it from a service."""

from __future__ import annotations

from typing import Any, Final

LONG: Final = "A CHAIR WITH A NAME THAT IS FAR TOO LONG FOR ITS PLACE"


def row(key: str | None, value: float | None, bars: list[int], **more: Any) -> dict[str, Any]:
    return {"id": "42", "key": key, "title": None, "value": value, "bars": bars, "trend": None, **more}


def snapshot(**changes: Any) -> dict[str, Any]:
    """All that is in one, with some of it changed."""
    return {
        "format": 1,
        "version": "1.2.3",
        "build": "abc1234",
        "store": "shop.tidal",
        "read_only": False,
        "at_ms": 1_700_000_000_000,
        "uptime_seconds": 61.5,
        "health": {"ok": True, "reasons": []},
        "rate": {"now": 1234.5, "points": [[20.0 * left, 100.0 * (30 - left)] for left in range(30, -1, -1)]},
        "signals": [
            {"name": "view", "kind": "item", "entities": 3, "events": 99, "late": 0, "rate": 1234.5,
             "measures": ["score", "count.1h", "count.all", "velocity.1h"]}
        ],
        "tops": [
            {"signal": "view", "by": "score", "window": "24h", "bar_seconds": 3600, "rows": [
                row("lamp", 1234.5, [0] * 12 + [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
                row("chair", 3.25, [4] * 24, title=LONG, trend=0.25),
                row(None, None, [8] * 12 + [1] * 12, trend=-0.875),
            ]},
            {"signal": "view", "by": "velocity.1h", "window": "1h", "bar_seconds": 120, "rows": [
                row("椅子", 0.05, [1] * 30, trend=0.0), row("lamp", 0.0025, [0] * 29 + [9], trend=26.4)
            ]},
        ],
        "log": {"last_seq": 1_000_000, "durable_seq": 999_900, "unsynced_bytes": 4_096},
        "checkpoint": {"seq": 900_000, "behind": 100_000, "age_seconds": 75.0, "took_seconds": 0.25,
                       "error": None},
        "archive": {"error": None},
        "disk": {"log": 5_000_000, "archive": 186, "checkpoints": 0, "entities": 0, "quarantine": 0,
                 "exports": 0, "total": 5_000_186, "segments": 2, "free": 80_000_000_000},
        "followers": [{"name": "replica", "seq": 999_000, "lag": 1_000, "state": None, "heard_seconds": None,
                       "held_bytes": None}],
        "following": None,
        "regions": None,
        "streams": [],
        "jobs": [
            {"id": "0" * 32, "number": 2, "dataset": "signals", "format": "csv", "status": "running",
             "share": 0.42, "rows": 7, "bytes": 0, "reason": None, "download": None},
            {"id": "1" * 32, "number": 1, "dataset": "scores", "format": "jsonl", "status": "done",
             "share": 1.0, "rows": 9, "bytes": 99, "reason": None, "download": None},
        ],
        **changes,
    }  # fmt: skip
