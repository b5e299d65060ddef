"""The signal types of one schema found again, by name, in another one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidal.errors import SchemaError
from tidal.schema.events import NOTE_TYPE_ID
from tidal.schema.spec import Schema

# What a type's id is mapped to if no event of it is kept; no id is so large.
DROPPED: Final = NOTE_TYPE_ID + 1  # left out on purpose
UNKNOWN: Final = NOTE_TYPE_ID + 2  # not declared where the events are from


def match_types(old: Schema, new: Schema, drop: Collection[str], *, task: str) -> NDArray[np.uint16]:
    """Return the id in ``new`` of each type id of ``old``, or DROPPED, or UNKNOWN: uint16[256].

    Types are the same if their names are. SchemaError, every reason in words, where a type is neither in
    ``new`` nor in ``drop``, is of another kind of entity, or was signed and is not any more; ``task`` is
    what cannot be done then.
    """
    types = np.full(NOTE_TYPE_ID + 1, UNKNOWN, np.uint16)
    types[NOTE_TYPE_ID] = NOTE_TYPE_ID  # operations of sessions name no signal types
    wrong = [f"{name}: to be dropped, but not a type of the store" for name in drop if name not in old.names]
    for signal in old:
        if signal.name in drop:
            if signal.name in new.names:
                wrong.append(f"{signal.name}: to be dropped, but declared")
            types[signal.type_id] = DROPPED
        elif signal.name not in new.names:
            wrong.append(f"{signal.name}: not in the given schema; name it in drop= to leave its events out")
        else:
            other = new.signal(signal.name)
            if other.kind != signal.kind:
                wrong.append(f"{signal.name}: kind {signal.kind} -> {other.kind}")
            if signal.signed and not other.signed:
                wrong.append(f"{signal.name}: signed True -> False")
            types[signal.type_id] = other.type_id
    if wrong:
        raise SchemaError(f"no {task} with this schema: {'; '.join(wrong)}")
    return types
