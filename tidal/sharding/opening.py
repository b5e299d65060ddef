"""open_sharded(): a folder of stores becomes one database."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Final

from tidal.durable import FileSystem, OsFileSystem, read_file, replace_file, same_bytes
from tidal.errors import CorruptStore, FormatError, FormatTooNew, InvalidOption, SchemaError, StoreMissing
from tidal.format.document import decode_document, encode_document, integer_of
from tidal.format.segment import U16_MAX
from tidal.opening.arguments import check_number, checked_folder, open_served
from tidal.opening.arguments import open as open_store
from tidal.schema import Schema
from tidal.sharding.router import ShardRouter
from tidal.sharding.sharded import ShardedDb

if TYPE_CHECKING:
    from tidal.metrics import Metrics

SHARDING_NAME: Final = "sharding.json"
SHARDING_FORMAT: Final = 1
SHARDING_BYTES_MAX: Final = 1 << 21
_FIELDS: Final = ("router", "region")


def open_sharded(
    path: str | os.PathLike[str] | None = None,
    *,
    router: ShardRouter | None = None,
    schema: Schema | None = None,
    region: int = 0,
    metrics: str | Metrics | None = None,
    file_system: FileSystem | None = None,
    **options: Any,
) -> ShardedDb:
    """Return several stores as one database: in the folders ``shard-00000`` ... of ``path``, or in memory.

    ``router`` says which entity belongs to which; it is needed for new stores and in memory, and can never be
    changed: a folder that was filled by another one is refused. ``metrics``: one port for all shards, as of
    tidal.open(), where the label ``partition_id`` is the shard. ``options`` are tidal.open()'s, and go to
    each shard, as shard i of ``region``. Raises InvalidOption, StoreMissing, and what tidal.open() does.

    >>> import tidal
    >>> schema = tidal.SchemaBuilder().signal("view", half_life="7d").build()
    >>> with tidal.open_sharded(schema=schema, router=tidal.ShardRouter.hashed(4), clock="event") as db:
    ...     _ = db.ingest(signal="view", entity_id=[1, 2, 3, 3], timestamp=10**18)
    ...     list(db.top("view", 2))
    [(3, 2.0), (1, 1.0)]
    """
    if router is not None and not isinstance(router, ShardRouter):
        raise InvalidOption(f"router={router!r}: make one by tidal.ShardRouter.hashed(4), say")
    check_number("region", region)
    given = {"schema": schema, "file_system": file_system, **options}
    return open_served(
        metrics, lambda: _open(path, router, region, given), lambda db: dict(enumerate(db.shards))
    )


def _open(
    path: str | os.PathLike[str] | None, router: ShardRouter | None, region: int, given: dict[str, Any]
) -> ShardedDb:
    schema = given["schema"]
    if path is None:
        if router is None or schema is None:
            raise SchemaError("shards in memory need schema= and router=")
        return ShardedDb(tuple(open_store(**given) for _ in range(router.shards)), router)
    fs, folder = given["file_system"] or OsFileSystem(), checked_folder("path", path)
    found = _read(fs, folder / SHARDING_NAME)
    if found is None:
        if router is None or schema is None:
            raise StoreMissing(f"{folder} has no {SHARDING_NAME}; new shards need router= and schema=")
        if fs.list_dir(folder):
            raise InvalidOption(f"{folder} is not empty, and has no {SHARDING_NAME}; choose another folder")
        found = router, region
    if (router or found[0], region or found[1]) != found:
        raise InvalidOption(
            f"{folder} was made with the router {found[0]} for region {found[1]}, not {router} for {region}: "
            "its entities lie where that one put them"
        )
    fs.make_dir(folder)
    _write(fs, folder / SHARDING_NAME, *found)  # first: what is missing of the shards is made the next time
    with contextlib.ExitStack() as undo:
        shards = []
        for shard in range(found[0].shards):
            shard_path = folder / f"shard-{shard:05}"
            shards.append(undo.enter_context(open_store(shard_path, region=found[1], shard=shard, **given)))
        undo.pop_all()
        return ShardedDb(tuple(shards), found[0])


def _read(fs: FileSystem, path: Any) -> tuple[ShardRouter, int] | None:
    """Return router and region of a folder of shards, None where it is none."""
    if not fs.exists(path):
        return None
    try:
        body = decode_document(
            read_file(fs, path), version=SHARDING_FORMAT, fields=_FIELDS, bytes_max=SHARDING_BYTES_MAX
        )
        if not isinstance(body["router"], str):
            raise FormatError("router is no text")
        return ShardRouter.parse(body["router"]), integer_of(body, "region", 0, U16_MAX)
    except FormatTooNew as error:
        raise FormatTooNew(f"{path}: {error}") from None
    except (FormatError, InvalidOption) as error:
        raise CorruptStore(path, 0, f"{error}; restore it from a backup") from error


def _write(fs: FileSystem, path: Any, router: ShardRouter, region: int) -> None:
    if not fs.exists(path):
        body = {"format": SHARDING_FORMAT, "router": str(router), "region": region}
        data = encode_document(body)
        replace_file(fs, path, [data], same_bytes(fs, data, CorruptStore))
