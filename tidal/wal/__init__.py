"""The write-ahead log: what is in it is what happened, in that order."""

from tidal.wal.policy import SyncPolicy, parse_sync
from tidal.wal.reader import read_batches
from tidal.wal.repair import repair_tail
from tidal.wal.scan import LogScan, TornTail, scan_log
from tidal.wal.segments import SegmentInfo
from tidal.wal.writer import LogWriter

__all__ = [
    "LogScan",
    "LogWriter",
    "SegmentInfo",
    "SyncPolicy",
    "TornTail",
    "parse_sync",
    "read_batches",
    "repair_tail",
    "scan_log",
]
