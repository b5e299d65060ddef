"""`tidalctl doctor PATH`: what is unwise about a store and the place where it lies."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any, TextIO

from tidal import __version__
from tidal.build import build_hash
from tidal.cli.ctl.broker import ask_broker
from tidal.cli.ctl.exit_codes import code_of
from tidal.cli.ctl.output import add_output_options, in_words, jsonable
from tidal.cli.ctl.target import add_now_option, add_target, now_of, target_of
from tidal.cli.output import write_json
from tidal.inspect import Severity, Time, examine, meaning, survey_store, worst_of


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="say what is unwise: sync policy, space, clock, checkpoints, permissions, the disk",
        description="Say what is damaged, missing or unwise about a store and the machine that it lies on, "
        "what it means and what to do. Not every byte is checked: that is what tidalctl verify is for.",
        epilog="exit code 5: nothing is damaged, but something should be changed",
    )
    add_target(parser)
    add_now_option(parser)
    parser.add_argument(
        "--broker",
        metavar="URL",
        help="look at a NATS server, too: its monitoring port, http://127.0.0.1:8222",
    )
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    found, now = survey_store(target_of(args)), now_of(args)
    findings = examine(found, now)
    if args.broker is not None:
        both = (*findings, *ask_broker(args.broker))
        findings = tuple(sorted(both, key=lambda finding: list(Severity).index(finding.severity)))
    worst = worst_of(findings)
    if args.format == "json":
        document = {
            "version": __version__,
            "build_hash": build_hash(),
            "path": str(found.path),
            "at": Time(now),
            "worst": worst,
            "findings": [{**finding.to_dict(), "means": meaning(finding)} for finding in findings],
        }
        write_json(out, jsonable(document), pretty=args.pretty)
    else:
        counts = Counter(finding.severity.value for finding in findings)
        told = in_words(findings, means=meaning)
        summary = ", ".join(f"{count} {severity}" for severity, count in counts.items()) or "nothing to say"
        out.write(f"{told}{chr(10) if told else ''}{summary}\n")
    return code_of(worst)
