"""How `tidalctl` answers: one JSON document, or text."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable
from typing import Final

from tidal.cli.output import add_format_option
from tidal.cli.tables import WIDTH, printable
from tidal.inspect import Finding

_INDENT: Final = "  "


def add_output_options(parser: argparse.ArgumentParser) -> None:
    add_format_option(parser, default="json")
    parser.add_argument("--pretty", action="store_true", help="JSON in lines, for reading")


def in_words(findings: Iterable[Finding], *, advice: bool = True) -> str:
    """Return findings as paragraphs; what to do is said once for findings that follow each other."""
    parts = []
    said = ""
    for finding in findings:
        place = printable(finding.file)
        if finding.offset is not None:
            place += f" at byte {finding.offset:,}"
        if finding.first_seq is not None:
            place += f", events {finding.first_seq:,} to {finding.last_seq:,}"
        if said and said != finding.advice:
            parts.append(_paragraph(f"-> {said}"))
        parts += ["", f"{finding.severity.value.upper()}  {place}", _paragraph(printable(finding.what))]
        said = finding.advice if advice else ""
    if said:
        parts.append(_paragraph(f"-> {said}"))
    return "\n".join(parts[1:]) + "\n" if parts else ""


def _paragraph(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    )
