"""`tidalctl status PATH`: whether a store is well, in a few fields that stay what they are."""

from __future__ import annotations

import argparse
from typing import Any, TextIO

from tidal import __version__
from tidal.build import build_hash
from tidal.cli.ctl.exit_codes import code_of
from tidal.cli.ctl.output import add_output_options, in_fields, in_words, jsonable
from tidal.cli.ctl.paths import dirs_of
from tidal.cli.ctl.target import add_target, target_of
from tidal.cli.output import write_json
from tidal.errors import StoreMissing
from tidal.inspect import Severity, Survey, survey, worst_of
from tidal.store import StorePaths


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "status",
        help="say whether a store is well, and how far its log and checkpoints are",
        description='Say how far the log and the checkpoints of a store are. "status" is "ok", "empty" for a '
        'folder without an event, "error" if something is damaged, missing or cannot be read. Not every '
        "byte is checked: that is what tidalctl verify is for.",
    )
    add_target(parser)
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    found = survey(path := target_of(args))
    if not found.exists:
        raise StoreMissing(f"{path}: there is no such folder")
    document = _document(found)
    if args.format == "json":
        write_json(out, jsonable(document), pretty=args.pretty)
    else:
        out.write(_in_words(found, document))
    return code_of(worst_of(found.findings))


def status_of(found: Survey) -> str:
    """Return "ok", "empty" or "error"."""
    if worst_of(found.findings) in (Severity.DAMAGE, Severity.UNREADABLE):
        return "error"
    return "ok" if found.last_seq else "empty"


def _document(found: Survey) -> dict[str, Any]:
    log, newest = found.log, found.checkpoints[0] if found.checkpoints else None
    return {
        "version": __version__,
        "build_hash": build_hash(),
        "status": status_of(found),
        "storage_mode": "persistent" if found.is_store else None,
        "store_id": found.store_id,
        "first_seq": found.first_seq,
        "last_seq": found.last_seq,
        "writer_pid": found.place.writer_pid,
        "wal": {
            "segments": log.segments,
            "first_seq": log.first_seq,
            "last_segment_seq": log.last_segment_seq,
            "last_seq": log.last_seq,
            "checkpoint_seq": newest.seq if newest else None,
            "checkpoint_ts": newest.written_at if newest else None,
            "wal_dir_bytes": log.bytes,
            "clean": log.clean,
        },
        "dirs": dirs_of(StorePaths(found.path)),
        "findings": [finding.to_dict() for finding in found.findings],
    }


def _in_words(found: Survey, document: dict[str, Any]) -> str:
    shown = {name: value for name, value in document.items() if name not in ("wal", "dirs", "findings")}
    shown |= {f"wal {name}": value for name, value in document["wal"].items()}
    told = in_words(found.findings)
    return in_fields(shown) + ("\n" + told if told else "")
