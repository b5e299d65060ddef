"""Transports: each carries messages its own way. ``memory``: within one process; ``objects``: through a
folder or an object store that all can reach; ``nats``: through NATS JetStream.
"""

from tidal.transports.memory import InProcessTransport

__all__ = ["InProcessTransport"]
