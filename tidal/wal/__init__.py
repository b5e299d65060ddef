"""The write-ahead log: what is in it is what happened, in that order."""

from tidal.wal.buffer import BufferedLogWriter
from tidal.wal.manifest import read_manifest, write_manifest
from tidal.wal.policy import SyncPolicy, parse_sync
from tidal.wal.reader import read_batches
from tidal.wal.repair import repair_tail
from tidal.wal.scan import LogScan, ReplacedSegment, scan_log
from tidal.wal.segments import SegmentInfo
from tidal.wal.tail import TornTail
from tidal.wal.writer import LogWriter

__all__ = [
    "BufferedLogWriter",
    "LogScan",
    "LogWriter",
    "ReplacedSegment",
    "SegmentInfo",
    "SyncPolicy",
    "TornTail",
    "parse_sync",
    "read_batches",
    "read_manifest",
    "repair_tail",
    "scan_log",
    "write_manifest",
]
