"""The bundled order lines of an online shop as event columns.

Each row is one event, so a row's number (from 1) is the sequence that it gets in a log of its own.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal.entities import entity_key_ids
from tidal.schema import Schema, SchemaBuilder

ROWS: Final = 541_909
HALF_LIFE: Final = "7d"

_COLUMNS: Final = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "CustomerID")


def retail_schema() -> Schema:
    """Return the signal types of the shop: purchases, cancellations, and stock adjustments."""
    return (
        SchemaBuilder()
        .signal("purchase", half_life=HALF_LIFE, windows=("1h", "24h", "7d"), velocity=True)
        .signal("cancel", half_life=HALF_LIFE, windows=("24h", "7d"))
        .signal("adjust")
        .build()
    )


@dataclass(frozen=True, slots=True)
class OrderLines:
    """Consecutive order lines, as columns of one length.

    ``signal`` is the name of the signal type, ``quantity`` how many pieces (never negative), ``user`` means
    nothing where the shop did not know the customer, times are ns with the shop's local time taken as UTC.
    """

    signal: NDArray[np.str_]
    product: NDArray[np.object_]
    title: NDArray[np.object_]
    quantity: NDArray[np.float64]
    timestamp: NDArray[np.int64]
    user: NDArray[np.uint64]
    user_known: NDArray[np.bool_]
    invoice: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.timestamp)

    def events(self, start: int = 0, stop: int | None = None) -> dict[str, Any]:
        """Return rows [start, stop) as arguments of ``db.ingest``: products by key."""
        rows = slice(start, stop)
        return {
            "signal": self.signal[rows],
            "entity_id": self.product[rows],
            "weight": self.quantity[rows],
            "timestamp": self.timestamp[rows],
            "user_id": np.ma.array(self.user[rows], mask=~self.user_known[rows]),
            "session_id": self.invoice[rows],
        }

    def product_ids(self) -> tuple[list[str], NDArray[np.uint64]]:
        """Return the different products, sorted, and their ids."""
        keys = sorted(set(self.product.tolist()))
        return keys, entity_key_ids(keys)

    def titles(self) -> dict[str, str]:
        """Return each product's most frequent name on purchases; elsewhere the staff wrote notes there."""
        seen: dict[str, dict[str, int]] = {}
        for product, title, signal in zip(self.product, self.title, self.signal, strict=True):
            if title and signal == "purchase":
                counts = seen.setdefault(product, {})
                counts[title] = counts.get(title, 0) + 1
        names = {product: max(counts, key=counts.__getitem__) for product, counts in seen.items()}
        return {product: " ".join(name.split()) for product, name in names.items()}


def read_order_lines(*, batch_rows: int, skip_rows: int = 0) -> Iterator[OrderLines]:
    """Yield the bundled rows after the first ``skip_rows``, in order, in batches."""
    with (files("tidal.demo") / "data" / "online_retail.csv.gz").open("rb") as packed:
        text = io.TextIOWrapper(gzip.GzipFile(fileobj=packed), encoding="utf-8", newline="")
        lines = csv.reader(text)
        header = next(lines)
        positions = [header.index(name) for name in _COLUMNS]
        rows = islice(lines, skip_rows, None)
        while records := list(islice(rows, batch_rows)):
            columns = list(zip(*records, strict=True))
            yield _order_lines(*(columns[position] for position in positions))


def join(batches: list[OrderLines]) -> OrderLines:
    """Return consecutive batches as one."""
    return OrderLines(
        signal=np.concatenate([batch.signal for batch in batches]),
        product=np.concatenate([batch.product for batch in batches]),
        title=np.concatenate([batch.title for batch in batches]),
        quantity=np.concatenate([batch.quantity for batch in batches]),
        timestamp=np.concatenate([batch.timestamp for batch in batches]),
        user=np.concatenate([batch.user for batch in batches]),
        user_known=np.concatenate([batch.user_known for batch in batches]),
        invoice=np.concatenate([batch.invoice for batch in batches]),
    )


def _order_lines(
    invoices: tuple[str, ...],
    products: tuple[str, ...],
    titles: tuple[str, ...],
    quantities: tuple[str, ...],
    dates: tuple[str, ...],
    customers: tuple[str, ...],
) -> OrderLines:
    quantity = np.array(quantities, np.float64)
    letter = np.array([invoice[0] for invoice in invoices])
    # C cancels an order, A adjusts a bad debt; a negative quantity without a letter is stock written off.
    signal = np.where(
        letter == "C", "cancel", np.where((letter == "A") | (quantity < 0), "adjust", "purchase")
    )
    instants = {date: index for index, date in enumerate(dict.fromkeys(dates))}
    times = np.array(list(instants), "M8[ns]").view(np.int64)
    known = np.array([customer != "" for customer in customers])
    user = np.array([float(customer or 0) for customer in customers]).astype(np.uint64)
    return OrderLines(
        signal=signal,
        product=np.array(products, np.object_),
        title=np.array(titles, np.object_),
        quantity=np.abs(quantity),
        timestamp=times[np.fromiter(map(instants.__getitem__, dates), np.intp, len(dates))],
        user=user,
        user_known=known,
        invoice=np.array([int(invoice.lstrip("CA")) for invoice in invoices], np.uint64),
    )
