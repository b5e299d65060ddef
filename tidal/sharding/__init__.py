"""Several stores as one: events dealt out by entity, answers put together."""

from tidal.sharding.opening import open_sharded
from tidal.sharding.router import ShardRouter
from tidal.sharding.sharded import ShardedDb, ShardedIngested

__all__ = ["ShardRouter", "ShardedDb", "ShardedIngested", "open_sharded"]
