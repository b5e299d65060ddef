"""`tidalctl diagnostics PATH`: all that the files of a store tell without being read whole."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, TextIO

from tidal import __version__
from tidal.build import build_hash
from tidal.cli.ctl.exit_codes import code_of
from tidal.cli.ctl.output import add_output_options, in_fields, in_words, jsonable, rows_as_text
from tidal.cli.ctl.status import status_of
from tidal.cli.ctl.target import add_now_option, add_target, now_of, target_of
from tidal.cli.output import write_json
from tidal.inspect import Finding, Survey, Time, survey_store, worst_of
from tidal.schema.durations import NS_PER_SECOND


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "diagnostics",
        help="show sizes, entities by type, log, archive, checkpoints, followers, sessions and jobs",
        description="Show what a store holds and where it lies: sizes, entities by signal type, the log, the "
        "archive, the checkpoints and their age, how long opening would take, how far followers are, "
        "sessions and export jobs. The store is not opened and may be in use.",
    )
    add_target(parser)
    add_now_option(parser)
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    found = survey_store(target_of(args))
    document = _document(found, now_of(args))
    if args.format == "json":
        write_json(out, jsonable(document), pretty=args.pretty)
    else:
        out.write(_in_words(document, found.findings))
    return code_of(worst_of(found.findings))


def _document(found: Survey, now: int) -> dict[str, Any]:
    place = found.place
    return {
        "version": __version__,
        "build_hash": build_hash(),
        "path": str(found.path),
        "at": Time(now),
        "status": status_of(found),
        "store_id": found.store_id,
        "writer_pid": place.writer_pid,
        "events": {
            "first_seq": found.first_seq,
            "last_seq": found.last_seq,
            "newest_time": found.newest_time,
        },
        "signals": _signals(found),
        "disk": found.disk,
        "log": found.log,
        "archive": found.archive,
        "checkpoints": _checkpoints(found, now),
        "reopening": found.reopening,
        "marks": [
            {"name": name, "seq": seq, "behind": found.last_seq - seq} for name, seq in found.marks.items()
        ],
        "sessions": _sessions(found),
        "jobs": found.jobs,
        "quarantine": found.quarantined,
        "place": {
            "mount": place.mount,
            "free_bytes": place.free_bytes,
            "total_bytes": place.total_bytes,
            "free_files": place.free_files,
            "memory_bytes": place.memory_bytes,
        },
        "findings": [finding.to_dict() for finding in found.findings],
    }


def _signals(found: Survey) -> list[dict[str, Any]]:
    """The signal types, with what the newest checkpoint holds of each."""
    states = found.checkpoints[0].signals if found.checkpoints else {}
    declared = {signal.name: signal for signal in found.schema or ()}
    rows = []
    for name in (*declared, *(name for name in states if name not in declared)):
        signal, state = declared.get(name), states.get(name)
        rows.append(
            {
                "name": name,
                "id": signal.type_id if signal else None,
                "kind": signal.kind if signal else None,
                "entities": state.entities if state else 0,
                "checkpoint_bytes": state.bytes if state else 0,
                "newest_time": state.newest_time if state else None,
            }
        )
    return rows


def _checkpoints(found: Survey, now: int) -> list[dict[str, Any]]:
    return [
        {
            "file": one.file,
            "seq": one.seq,
            "bytes": one.bytes,
            "written_at": one.written_at,
            "age_seconds": None if one.written_at is None else (now - one.written_at) / NS_PER_SECOND,
        }
        for one in found.checkpoints
    ]


def _sessions(found: Survey) -> dict[str, int] | None:
    if not found.checkpoints:
        return None
    newest = found.checkpoints[0]
    return {"as_of_seq": newest.seq, "open": newest.sessions_open, "closed": newest.sessions_closed}


def _in_words(document: dict[str, Any], findings: Sequence[Finding]) -> str:
    """Each object of the document as fields, each list of objects as a table."""
    plain = {name: value for name, value in document.items() if not _is_part(value)}
    parts = [in_fields(plain)]
    for name, value in document.items():
        if name == "findings" or name in plain or not value:
            continue
        if not isinstance(value, list):
            parts.append(f"{name}\n" + in_fields(value, indent="  "))
        else:  # a checkpoint's file has its sequence for a name
            rows = [{field: row[field] for field in row if field != "file"} for row in value]
            parts.append(f"{name}\n" + rows_as_text(rows))
    return "\n".join([*parts, *filter(None, [in_words(findings)])])


def _is_part(value: Any) -> bool:
    """Whether a value has a heading of its own: an object, or a list of objects."""
    return isinstance(value, list | Mapping) or is_dataclass(value)
