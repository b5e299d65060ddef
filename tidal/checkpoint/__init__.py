"""Checkpoints: verified snapshots of named arrays at a sequence of the log."""

from tidal.checkpoint.reader import (
    Checkpoint,
    CheckpointFile,
    DamagedFile,
    list_checkpoints,
    newest_good,
    read_checkpoint,
    read_header,
    verify_checkpoint,
)
from tidal.checkpoint.writer import CHECKPOINTS_KEPT, remove_older, write_checkpoint

__all__ = [
    "CHECKPOINTS_KEPT",
    "Checkpoint",
    "CheckpointFile",
    "DamagedFile",
    "list_checkpoints",
    "newest_good",
    "read_checkpoint",
    "read_header",
    "remove_older",
    "verify_checkpoint",
    "write_checkpoint",
]
