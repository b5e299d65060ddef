"""The key-value engine under entity metadata and names."""

from tidal.storage.engine import StorageEngine, WriteBatch
from tidal.storage.keys import KEYSPACES, Key, Tag, decode_key, encode_key, id_prefix
from tidal.storage.memory import MemoryEngine
from tidal.storage.sqlite import SqliteEngine

__all__ = [
    "KEYSPACES",
    "Key",
    "MemoryEngine",
    "SqliteEngine",
    "StorageEngine",
    "Tag",
    "WriteBatch",
    "decode_key",
    "encode_key",
    "id_prefix",
]
