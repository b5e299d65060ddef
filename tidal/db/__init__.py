"""The database: every call of a user, through the log and the ledger, and back."""

from tidal.db.database import TidalDb
from tidal.db.settings import OnDisk, Settings

__all__ = ["OnDisk", "Settings", "TidalDb"]
