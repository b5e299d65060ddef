"""Ctrl-C in signal(), ingest(), checkpoint(), flush() and close(): nothing is counted twice, or half."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from faultkit.places import fast_folder
from faultkit.storm import Storm
from soakkit import Progress, finish, told

SIZES = {"small": ["--interruptions", "5000"], "full": ["--interruptions", "200000"]}

_HANG_SECONDS = 60.0


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="signals", description=__doc__)
    parser.add_argument("--interruptions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)  # a checkpoint that was interrupted says so
    violations: list[str] = []
    progress = Progress(args.interruptions, "interruptions")
    with tempfile.TemporaryDirectory() as disk, fast_folder(Path(disk)) as folder:
        storm = Storm(folder, args.seed)
        while storm.interruptions < args.interruptions and not violations:
            faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)  # a deadlock ends the program
            before = storm.interruptions
            with told(violations):
                storm.run_store()
            progress.add(storm.interruptions - before)
        faulthandler.cancel_dump_traceback_later()
        progress.end()
    figures = {
        "interruptions": storm.interruptions,
        **{f"in {name}()": count for name, count in sorted(storm.interrupted.items())},
        "left in the log whole": storm.left_in_the_log,
        "undone whole": storm.undone,
        "opened again": storm.poisoned,
        "events": storm.events,
        "drift": len(violations),
    }
    return finish(
        args.out, program="signals", seconds=progress.seconds, figures=figures, violations=violations
    )
