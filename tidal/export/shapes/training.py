"""Training data: from a request to a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from tidal.errors import InvalidOption
from tidal.export.columns import Field
from tidal.export.selection import Selection
from tidal.export.shapes.account import Account
from tidal.export.shapes.context import Columns, Context, Shaped
from tidal.export.shapes.flat import flat
from tidal.export.shapes.hints import hinted
from tidal.export.shapes.preference import preference
from tidal.export.shapes.request import Shape, TrainingRequest
from tidal.export.shapes.rewards import Rewards
from tidal.export.shapes.single import kto, prompt_only
from tidal.export.source import SignalSource
from tidal.export.table import Table
from tidal.schema import Schema

Metadata = Callable[[str, int], Mapping[str, Any] | None]  # of a kind and an id

_SHAPES: Final[Mapping[Shape, Callable[[Context], Shaped]]] = {
    "flat": flat,
    "kto": kto,
    "preference": preference,
    "prompt_only": prompt_only,
}


def export_training(source: SignalSource, request: TrainingRequest, metadata: Metadata) -> Table:
    """Return the training data that is asked for, made while it is read.

    ``metadata`` gives what is known of an entity. The table's ``info``, and so the manifest of its file, has
    an account of what was left out and why: complete once all rows were read. Memory: for "flat" some events
    and the metadata of 4,096 entities; else also some 270 bytes for each distinct entity, or user and entity,
    while they are sorted, and a hash for each prompt; not by events.

    Raises InvalidOption, InvalidEntity, UnknownSignalType at once; while it is read what reading log and
    archive may raise.
    """
    schema = source.schema
    selected = request.selection().checked(schema)
    hints = request.source == "hints"
    kind = "item" if hints else _kind(schema, selected.signal_types)
    account = Account()
    selection = Selection(source, selected, operations=hints)
    context = Context(
        source, request, selection, kind, lambda id: metadata(kind, id), Rewards(schema, request), account
    )
    fields, batches = hinted(context) if hints else _SHAPES[request.shape](context)
    limit = None if request.shape == "flat" else request.limit  # the selection ends there by itself
    names = _names(fields, request.columns)
    kept = [
        Field(name, field.type, field.nullable) for field in fields if (name := names[field.name]) is not None
    ]

    def info() -> dict[str, Any]:
        return {
            "request": {**selected.to_dict(), **request.to_dict()},
            "first_seq": selection.first_event,
            "last_seq": selection.last_seq,
            "account": account.to_dict(),
        }

    return Table(kept, _renamed(_limited(batches, limit, account), names), info=info)


def _kind(schema: Schema, names: Sequence[str]) -> str:
    """Return the kind of entity whose texts are wanted."""
    kinds = sorted({schema.signal(name).kind for name in names or schema.names})
    if len(kinds) != 1:
        raise InvalidOption(
            f"the signal types are of {' and '.join(kinds) or 'no'} kind, and one export has the texts of "
            "entities of one kind; name types of one kind by signal_types= or rewards="
        )
    return kinds[0]


def _names(fields: Sequence[Field], columns: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the new name of each column, None for one that is left out."""
    names = [field.name for field in fields]
    if unknown := [name for name in columns if name not in names]:
        raise InvalidOption(
            f"columns renames {', '.join(map(repr, unknown))}; this shape has {', '.join(map(repr, names))}"
        )
    renamed = {name: columns.get(name, name) for name in names}
    if all(name is None for name in renamed.values()):
        raise InvalidOption("columns leaves every column out; keep one")
    return renamed


def _limited(batches: Iterator[Columns], limit: int | None, account: Account) -> Iterator[Columns]:
    """Yield rows up to the limit, and count them."""
    for batch in batches:
        rows = len(next(iter(batch.values())))
        if limit is not None and account.rows + rows > limit:
            rows = limit - account.rows
            batch = {name: column[:rows] for name, column in batch.items()}
        if rows:
            account.rows += rows
            yield batch
        if account.rows == limit:
            return


def _renamed(batches: Iterator[Columns], names: Mapping[str, str | None]) -> Iterator[Columns]:
    for batch in batches:
        yield {name: batch[old] for old, name in names.items() if name is not None}
