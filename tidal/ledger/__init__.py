"""Live state: one table per signal type, and the ledger over them."""

from tidal.ledger.ledger import SignalLedger
from tidal.ledger.table import Ranking

__all__ = ["Ranking", "SignalLedger"]
