"""`tidal jobs STORE list|show|create|run|cancel|prune`: the export jobs of a store."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.progress import Progress
from tidal.cli.store import has_store, open_to_read, time_option
from tidal.cli.tables import Column, printable, render_table
from tidal.cli.times import iso_time
from tidal.db import TidalDb
from tidal.errors import StoreMissing
from tidal.export import ExportFormat
from tidal.jobs import Job, JobRequest, JobStatus
from tidal.opening import open as open_db

_LOOK_SECONDS: Final = 0.2  # between two looks at a job that runs
_TIMES: Final = ("created_at", "started_at", "finished_at")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "jobs",
        help="list, make, run, cancel and prune export jobs",
        description="The export jobs of a store. `list` and `show` may be asked while another process has "
        "the store open; the others open it themselves, and what was left of earlier jobs then goes on, too.",
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="the store's directory")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_action(actions, "list", _list, "list the jobs, the newest first")
    _add_action(actions, "show", _show, "show one job").add_argument("job", metavar="JOB")
    _add_create(_add_action(actions, "create", _create, "make a job, and run it to its end"))
    _add_action(actions, "run", _run, "run what is queued; it is what Ctrl-C or a crash left")
    _add_action(actions, "cancel", _cancel, "cancel a job").add_argument("job", metavar="JOB")
    prune = _add_action(actions, "prune", _prune, "remove finished jobs and their files")
    prune.add_argument("--keep-for", metavar="AGE", help='remove what ended longer ago: "7d" (default), "1h"')
    prune.add_argument(
        "--disk-bytes", type=int, metavar="N", help="then the oldest, until files have N bytes"
    )


def _add_action(actions: Any, name: str, run: Any, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=what, description=what.capitalize() + ".")
    add_format_option(parser)
    parser.set_defaults(run=run)
    return parser


def _add_create(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="signals, scores, windows, sessions, entities")
    known = [format.value for format in ExportFormat]
    parser.add_argument("--as", dest="file_format", choices=known, default=known[0], help="the file's format")
    parser.add_argument("--compression", choices=("none", "gzip", "zstd"))
    for name in ("entity", "user", "session"):
        parser.add_argument(f"--{name}", metavar="KEY", help=f"only of this {name}: a key, or an id as id:N")
    parser.add_argument("--signals", nargs="+", default=[], metavar="TYPE", help="only of these signal types")
    parser.add_argument("--since", metavar="TIME", help="at or after")
    parser.add_argument("--until", metavar="TIME", help="before")
    parser.add_argument("--at", metavar="TIME", help="the time that scores and windows are read at")
    parser.add_argument("--limit", type=int, metavar="N", help="the most rows")
    parser.add_argument("--keys", action="store_true", help="string keys beside the ids")


def _list(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    with open_to_read(args.store) as db:
        _write(args, out, db.jobs.list())
    return ExitCode.OK


def _show(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    with open_to_read(args.store) as db:
        job = db.jobs.get(args.job)
    if args.format == "json":
        write_json(out, _as_fields(job))
    else:
        lines = (f"{name}: {'–' if value is None else value}" for name, value in _as_fields(job).items())
        out.writelines(printable(line) + "\n" for line in lines)
    return ExitCode.OK


def _create(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    request = JobRequest(
        args.dataset,
        ExportFormat(args.file_format),
        args.compression,
        entity_id=_entity(args.entity),
        user_id=_entity(args.user),
        session_id=_entity(args.session),
        signal_types=args.signals,
        since=time_option(args.since),
        until=time_option(args.until),
        at=time_option(args.at),
        keys=args.keys,
        limit=args.limit,
    )
    with _open(args.store) as db:
        job = _to_its_end(db, db.jobs.create(request), args, err)
        _write(args, out, [job])
    return _code([job])


def _run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    with _open(args.store) as db:
        known = db.jobs.datasets()
        unfinished = [job for job in reversed(db.jobs.list()) if not job.finished]
        jobs = [_to_its_end(db, job, args, err) for job in unfinished if job.request.dataset in known]
        _write(args, out, jobs)
    return _code(jobs)


def _cancel(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    with _open(args.store) as db:
        db.jobs.cancel(args.job)
        _write(args, out, [db.jobs.wait(args.job)])
    return ExitCode.OK


def _prune(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    with _open(args.store) as db:
        _write(args, out, db.jobs.prune(keep_for=args.keep_for, disk_bytes=args.disk_bytes))
    return ExitCode.OK


def _open(store: Path) -> TidalDb:
    if not has_store(store):
        raise StoreMissing(f"{store} is not a store; there are no jobs")
    return open_db(store, clock="event")


def _entity(text: str | None) -> int | str | None:
    """Return the entity that a text names: by its key, or by its number as id:N."""
    number = text.removeprefix("id:") if text is not None else ""
    return int(number) if text != number and number.isdecimal() else text


def _to_its_end(db: TidalDb, job: Job, args: argparse.Namespace, err: TextIO) -> Job:
    with Progress(err, "rows", enabled=args.format == "text") as progress:
        while not (job := db.jobs.wait(job.id, _LOOK_SECONDS)).finished:
            progress.update(job.rows, job.share or 0.0)
    return job


def _code(jobs: Iterable[Job]) -> ExitCode:
    return ExitCode.FAILED if any(job.status is JobStatus.FAILED for job in jobs) else ExitCode.OK


def _write(args: argparse.Namespace, out: TextIO, jobs: Iterable[Job]) -> None:
    found = list(jobs)
    if args.format == "json":
        write_json(out, [_as_fields(job) for job in found])
        return
    columns = [
        Column("job", text=True),
        Column("dataset", text=True),
        Column("status", text=True),
        Column("rows"),
    ]
    cells = [[job.id, job.request.dataset, job.status.value, job.rows] for job in found]
    out.write(render_table(columns, cells))
    for job in found:
        if job.path is not None:
            out.write(f"{job.path}{'; more rows than the limit' if job.capped else ''}\n")
        elif job.reason is not None:
            out.write(printable(f"{job.id}: {job.reason}") + "\n")


def _as_fields(job: Job) -> dict[str, Any]:
    """Return a job as JSON has it."""
    times = {name: None if (ns := getattr(job, name)) is None else iso_time(ns) for name in _TIMES}
    return {
        "id": job.id,
        "number": job.number,
        "status": job.status.value,
        "request": job.request.to_json(),
        **times,
        "runs": job.runs,
        "rows": job.rows,
        "capped": job.capped,
        "share": job.share,
        "bytes": job.bytes,
        "blake3": job.blake3,
        "path": None if job.path is None else str(job.path),
        "reason": job.reason,
    }
