"""A store's log in other places: what is sent of it, and how it is taken in there."""

from tidal.replication.identity import RegionId, SegmentId, ShardId
from tidal.replication.lag import Lag, Position
from tidal.replication.receiver import Host, Refusal, SegmentReceiver
from tidal.replication.running import Running
from tidal.replication.shipper import FollowerStatus, Shipment, WalShipper
from tidal.replication.transport import Channels, Outgoing, Subscription, Transport

__all__ = [
    "Channels",
    "FollowerStatus",
    "Host",
    "Lag",
    "Outgoing",
    "Position",
    "Refusal",
    "RegionId",
    "Running",
    "SegmentId",
    "SegmentReceiver",
    "ShardId",
    "Shipment",
    "Subscription",
    "Transport",
    "WalShipper",
]
