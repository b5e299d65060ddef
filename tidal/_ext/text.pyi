"""Rows as JSON Lines and CSV, made from columns without the GIL."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

class TextColumn:
    """A column, and how it is written in each row: ``before``, the value, ``after``; or ``missing``."""

    def __init__(
        self,
        kind: str,
        values: NDArray[Any] | list[str | None],
        valid: NDArray[Any] | None,
        before: bytes,
        after: bytes,
        missing: bytes,
        names: Sequence[bytes] = (),
    ) -> None: ...

def text_rows(columns: Iterable[TextColumn], end: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the rows of columns as bytes, in chunks of whole rows, and how many rows each is."""

def json_text(text: str) -> bytes:
    """Return a text as JSON, in quotes, UTF-8. ValueError for a lone surrogate."""

def csv_text(text: str, is_safe: bool) -> bytes:
    """Return a text as a CSV cell, UTF-8; with ``is_safe`` what looks like a formula gets an apostrophe."""

def float_text(value: float, single: bool = False) -> str:
    """Return the shortest text that reads back as the same finite float64, or with ``single`` float32."""
