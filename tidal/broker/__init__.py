"""Live ingest through a broker: workers publish batches, each shard ingests its own exactly once.

Needs ``tidaldb[nats]``.
"""

from tidal.broker.ingestor import Ingestor, IngestStatus
from tidal.broker.intake import Intake, Taken
from tidal.broker.positions import POSITION_SIGNAL, Positions, with_positions
from tidal.broker.publisher import BatchPublisher, Published

__all__ = [
    "POSITION_SIGNAL",
    "BatchPublisher",
    "IngestStatus",
    "Ingestor",
    "Intake",
    "Positions",
    "Published",
    "Taken",
    "with_positions",
]
