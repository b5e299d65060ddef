"""What to do about what a look at a store finds, by the code of the finding."""

from __future__ import annotations

from typing import Final

_SALVAGE: Final = (
    "stop what writes to the store and copy the folder; if a backup has this file, put it back (compare with "
    "tidalctl verify); else bring what is left into a new store with: tidal salvage STORE NEW_STORE"
)

ADVICE: Final[dict[str, str]] = {
    "batch-damaged": _SALVAGE,
    "batch-misfit": _SALVAGE,
    "header-damaged": _SALVAGE,
    "seal-missing": _SALVAGE,
    "seal-misfit": _SALVAGE,
    "segment-missing": _SALVAGE,
    "segment-foreign": "move the file out of the folder: it belongs to another store or another place",
    "chain-broken": _SALVAGE,
    "events-gone": "nothing: a checkpoint holds their effect; their rows are gone from the history",
    "tail-torn": (
        "nothing, if a process is writing or was killed: the next open for writing cuts the end off and "
        "keeps a copy in quarantine/"
    ),
    "log-open": "nothing: a process is writing, or was killed; the next open for writing settles it",
    "segment-unborn": "nothing: the next open for writing removes it",
    "segment-left": "nothing: its events are archived or retired; the next open for writing removes it",
    "segment-archived": (
        "nothing is lost: the archive has these events; the file goes when the log is archived next (tidal "
        "archive STORE); then look for the cause, a failing disk or memory"
    ),
    "manifest-damaged": _SALVAGE,
    "manifest-missing": _SALVAGE,
    "manifest-misfit": _SALVAGE,
    "checkpoint-damaged": (
        "nothing at once: opening uses the one before and more of the log, and puts this one into "
        "quarantine/; then look for the cause, a failing disk or memory"
    ),
    "checkpoint-foreign": "move the file out of the folder: it belongs to another store",
    "checkpoint-ahead": _SALVAGE,
    "state-lost": _SALVAGE,
    "archive-damaged": (
        "put the file back from a backup (compare with tidalctl verify); live state does not need it, "
        "replays and rebuilds do"
    ),
    "archive-missing": (
        "put the file back from a backup; live state does not need it, replays and rebuilds do"
    ),
    "archive-misfit": (
        "put the archive folder back from a backup; live state does not need it, replays and rebuilds do"
    ),
    "identity-damaged": (
        "put store.json back from a backup, or bring the events into a new store with: tidal salvage STORE "
        "NEW_STORE"
    ),
    "schema-damaged": (
        "put schema.json back from a backup or from a program that declares the same signal types in the "
        "same order, or give them to: tidal salvage STORE NEW_STORE --schema FILE"
    ),
    "entities-damaged": (
        "put entities.sqlite back from a backup, or keep the rows that are good with: tidal salvage STORE "
        "NEW_STORE; events are not affected"
    ),
    "marks-damaged": "put the file back from a backup; until then nothing more is archived or retired",
    "not-canonical": "nothing: what it says is intact, but these are not the bytes that tidal wrote",
    "unknown-type": "put the schema.json back that belongs to this log: it must declare every type in it",
    "not-regular": "put a plain file in its place: tidal follows no links and opens no devices",
    "read-failed": "look at the disk (dmesg, smartctl) and at the file's permissions, then verify again",
    "too-new": "use a tidal that is at least as new as the one that wrote the file; nothing is wrong with it",
    "job-damaged": "nothing: the next open for writing puts it into quarantine/; create the job anew",
    "leftover": "nothing: the next open for writing removes it",
    "quarantined": "nothing: tidal put it aside and never reads it; remove it once nobody asks for it",
    "not-ours": "nothing: tidal did not write it and does not read it",
    "unexamined": "nothing",
    "sync-weak": 'open the store with sync="group" if an acknowledged event must survive a power cut',
    "space-low": "free some space or move the store; bound the history with retain=, prune export jobs",
    "files-low": "remove files that nobody needs, or move the store to a file system with more inodes",
    "clock-behind": "set this machine's clock by a time server; look at what stamped those events",
    "checkpoint-old": "run db.checkpoint(), and open the store with a smaller checkpoint_bytes=",
    "checkpoint-single": "nothing, if the store is young; else run db.checkpoint() once more",
    "quarantine": (
        "look at the files (tidalctl dump) and at the cause, a failing disk or a crash; then remove them: "
        "tidal never reads them"
    ),
    "access-wide": "chmod -R go= STORE; let others read through an export, or through tidal serve",
    "owner-mixed": "chown -R to the one user that runs the store",
    "disk-volatile": "move the store to a disk that stays",
    "disk-untested": "move the store to ext4 or XFS on a disk of this machine",
    "disk-unsafe": "mount it without these options",
    "disk-readonly": "mount it for writing; if the kernel made it so, look at the disk (dmesg, smartctl)",
    "mark-lost": "make what follows this store anew, from a copy of the store, and remove the mark",
    "mark-ahead": (
        "find out which of the two is right before anything is written to either; then make the other anew"
    ),
    "mark-behind": "see whether what sets this mark still runs; if it is gone: db.marks.remove(NAME)",
    "broker-sync": "set sync_interval: always in its jetstream block, as docs/ops/nats.conf does",
    "broker-old": "use nats-server 2.11 or newer",
    "broker-replicas": (
        "run three servers as a cluster, and give tidal replicas=3; change the streams that are there with: "
        "nats stream edit NAME --replicas 3"
    ),
    "broker-streams": "add a jetstream block to its configuration, as in docs/ops/nats.conf",
    "memory-small": "move the store to a larger machine, or bound its entities with limits=",
}
