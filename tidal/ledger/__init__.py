"""Live state: one table per signal type, and the ledger over them."""

from tidal.ledger.copying import LedgerCopy
from tidal.ledger.ledger import SHARDS_DEFAULT, SHARDS_MAX, SignalLedger
from tidal.ledger.table import Ranking

__all__ = ["SHARDS_DEFAULT", "SHARDS_MAX", "LedgerCopy", "Ranking", "SignalLedger"]
