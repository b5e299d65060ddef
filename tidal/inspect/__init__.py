"""Looking at the files of a store without opening it: what is wrong with them, and what is in them."""

from tidal.inspect.dump import Dump, Table, dump
from tidal.inspect.events import EVENT_COLUMNS, Time, read_events
from tidal.inspect.findings import Finding, Report, Severity
from tidal.inspect.verify import verify

__all__ = [
    "EVENT_COLUMNS",
    "Dump",
    "Finding",
    "Report",
    "Severity",
    "Table",
    "Time",
    "dump",
    "read_events",
    "verify",
]
