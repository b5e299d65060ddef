"""Real events: the engine against the twin, Polars' decayed sum, and counts in DuckDB's SQL."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

import tidal.demo
from tidal.schema import EventBatch, Schema, SchemaBuilder
from tidal.testing import ModelLedger, assert_agrees

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR
BUCKETS = {"1h": (60 * SECOND, 60), "24h": (HOUR, 24), "7d": (HOUR, 168)}

LedgerOf = Callable[..., Any]

RETAIL = (
    SchemaBuilder()
    .signal("purchase", half_life=("1d", "7d"), windows=("1h", "24h", "7d"), velocity=True)
    .signal("cancel", half_life="7d", windows=("24h",), signed=True)
    .build()
)
POLIS = (
    SchemaBuilder()
    .signal("skip", windows=("1h",))
    .signal("like", half_life="1h", windows=("1h", "24h", "7d"))
    .signal("dislike", half_life="30d", windows=("7d",))
    .build()
)
OASST = (
    SchemaBuilder()
    .signal("message", half_life=("1d", "30d"), windows=("24h", "7d"))
    .signal("reaction", half_life="7d", windows=("7d",), signed=True)
    .build()
)


def to_batch(frame: pl.DataFrame) -> EventBatch:
    """Return a frame of entity_id, type_id, weight, timestamp (ns) as a batch, rows in the frame's order."""
    return EventBatch(
        frame["entity_id"].cast(pl.UInt64).to_numpy(),
        frame["type_id"].cast(pl.UInt8).to_numpy(),
        frame["weight"].cast(pl.Float32).to_numpy(),
        frame["timestamp"].cast(pl.Int64).to_numpy(),
    )


@pytest.fixture(scope="module")
def retail(data_folder: Path) -> pl.DataFrame:
    """The order lines of nine days."""
    return order_lines(data_folder / "online-retail-2010-12.csv.gz")


def order_lines(path: Path) -> pl.DataFrame:
    """Purchases (type 0) and cancellations (type 1) by product, quantity as weight."""
    frame = pl.read_csv(path, infer_schema=False)
    quantity = pl.col("Quantity").cast(pl.Float32)
    cancelled = pl.col("InvoiceNo").str.starts_with("C")
    return frame.filter(cancelled | (quantity > 0)).select(
        entity_id=pl.col("StockCode").rank("dense"),
        type_id=pl.when(pl.col("InvoiceNo").str.starts_with("C")).then(1).otherwise(0),
        weight=quantity,
        timestamp=pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ns").cast(pl.Int64),
    )


def polis(data_folder: Path) -> pl.DataFrame:
    """Votes by comment, as the file has them: grouped by comment, so far out of time order."""
    frame = pl.read_csv(data_folder / "polis-votes.csv.gz", infer_schema=False)
    return frame.select(
        entity_id=pl.struct("conversation", "comment").rank("dense").cast(pl.UInt64),
        type_id=pl.col("vote").replace_strict({"0": 0, "1": 1, "-1": 2}),
        weight=pl.lit(1.0),
        timestamp=pl.col("timestamp").cast(pl.Int64) * 10**6,
    )


def oasst(data_folder: Path) -> pl.DataFrame:
    """Messages by author (type 0) and the reactions to them (type 1: thumbs up less thumbs down)."""
    frame = pl.read_csv(data_folder / "oasst1-en-validation.csv.gz", infer_schema=False).select(
        entity_id=pl.col("user_id").rank("dense"),
        timestamp=pl.col("created_date").str.to_datetime(time_unit="ns", time_zone="UTC").cast(pl.Int64),
        reaction=pl.col("thumbs_up").cast(pl.Float32) - pl.col("thumbs_down").cast(pl.Float32),
    )
    messages = frame.select("entity_id", pl.lit(0).alias("type_id"), pl.lit(1.0).alias("weight"), "timestamp")
    reactions = frame.select(
        "entity_id", pl.lit(1).alias("type_id"), pl.col("reaction").alias("weight"), "timestamp"
    )
    return pl.concat([messages, reactions], how="vertical_relaxed")


def check(ledger_of: LedgerOf, schema: Schema, frame: pl.DataFrame, times: Sequence[int]) -> None:
    """Load in seven batches, then compare every answer with the twin's."""
    cuts = [len(frame) * part // 7 for part in range(8)]
    ledger = ledger_of(schema, [to_batch(frame[start:stop]) for start, stop in pairwise(cuts)])
    model = ModelLedger(schema)
    model.apply_batch(to_batch(frame))
    for at in times:
        assert_agrees(ledger, model, at, k=20, absent=(2**63,))


def last(frame: pl.DataFrame) -> int:
    return int(frame["timestamp"].to_numpy().max())


def test_online_retail(ledger_of: LedgerOf, retail: pl.DataFrame) -> None:
    assert retail["type_id"].value_counts().sort("type_id")["count"].to_list() == [22_130, 329]
    check(ledger_of, RETAIL, retail, [last(retail), last(retail) + 6 * DAY])


def test_all_of_online_retail(ledger_of: LedgerOf) -> None:
    frame = order_lines(Path(tidal.demo.__path__[0]) / "data" / "online_retail.csv.gz")
    assert frame["type_id"].value_counts().sort("type_id")["count"].to_list() == [531_285, 9_288]
    check(ledger_of, RETAIL, frame, [last(frame) + 30 * 60 * SECOND])


def test_all_of_polis(ledger_of: LedgerOf, data_folder: Path) -> None:
    frame = polis(data_folder)
    assert len(frame) == 269_103
    assert (frame["timestamp"].diff() < 0).sum() > 10_000
    check(ledger_of, POLIS, frame, [last(frame)])


def test_one_conversation_at_several_times(ledger_of: LedgerOf, data_folder: Path) -> None:
    frame = polis(data_folder)[-49_997:]  # the last of the file: vtaiwan.uberx
    middle = int(np.median(frame["timestamp"].to_numpy()))
    check(ledger_of, POLIS, frame, [middle, last(frame), last(frame) + HOUR])


def test_oasst(ledger_of: LedgerOf, data_folder: Path) -> None:
    frame = oasst(data_folder)
    assert len(frame) == 2 * 2022
    check(ledger_of, OASST, frame, [last(frame), last(frame) + DAY])


@pytest.mark.parametrize("half_life", ["1d", "7d"])
def test_scores_equal_polars_ewm_sum_by(ledger_of: LedgerOf, retail: pl.DataFrame, half_life: str) -> None:
    ledger = ledger_of(RETAIL, [to_batch(retail)])
    at = last(retail)
    decayed = (
        retail.filter(pl.col("type_id") == 0)
        .select("entity_id", pl.col("weight").cast(pl.Float64), pl.col("timestamp").cast(pl.Datetime("ns")))
        .group_by("entity_id")
        .agg(pl.col("weight").ewm_sum_by("timestamp", half_life=half_life).last(), pl.col("timestamp").last())
    )
    assert len(decayed) > 2000
    ids = decayed["entity_id"].cast(pl.UInt64).to_numpy()
    scores = ledger.scores("purchase", ids, at=at, half_life=half_life)
    seconds = float(half_life.removesuffix("d")) * DAY
    for score, at_last, time in zip(
        scores.tolist(),
        decayed["weight"].to_list(),
        decayed["timestamp"].cast(pl.Int64).to_list(),
        strict=True,
    ):
        assert math.isclose(score, at_last * 2.0 ** (-(at - time) / seconds), rel_tol=1e-9)


@pytest.mark.parametrize("window", BUCKETS)
def test_counts_equal_sql(ledger_of: LedgerOf, retail: pl.DataFrame, window: str) -> None:
    ledger = ledger_of(RETAIL, [to_batch(retail)])
    at = last(retail) + 40 * 60 * SECOND
    size, length = BUCKETS[window]
    database = duckdb.connect()
    database.register("events", retail.filter(pl.col("type_id") == 0))
    rows = database.execute(
        "select entity_id, count(*) filter (timestamp // $size > $at // $size - $length)"
        " from events group by 1",
        {"size": size, "length": length, "at": at},
    ).fetchall()
    ids = np.array([entity_id for entity_id, _ in rows], dtype=np.uint64)
    assert ledger.counts("purchase", ids, window, at=at).tolist() == [count for _, count in rows]
    assert sum(count for _, count in rows) > 0


def test_top_equals_sql(ledger_of: LedgerOf, retail: pl.DataFrame) -> None:
    ledger = ledger_of(RETAIL, [to_batch(retail)])
    database = duckdb.connect()
    database.register("events", retail.filter(pl.col("type_id") == 0))
    best = database.execute(
        "select entity_id, count(*) from events group by 1 order by 2 desc, 1 limit 25"
    ).fetchall()
    ids, counts = ledger.top("purchase", 25, by="count.all", at=last(retail))
    assert list(zip(ids.tolist(), counts.tolist(), strict=True)) == best
