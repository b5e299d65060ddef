"""What a look at a store's files finds, as data: what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tidal.errors import CorruptionError, FormatTooNew, StorageError
from tidal.inspect.advice import ADVICE
from tidal.records import record


class Severity(StrEnum):
    """How bad a finding is; in order, the worst first."""

    DAMAGE = "damage"  # bytes are not what was written, or are missing
    UNREADABLE = "unreadable"  # nothing is known: the machine refused to read, or this tidal is too old
    RISK = "risk"  # nothing is wrong with the bytes, but this may lose some, or stop the store
    UNFINISHED = "unfinished"  # as a crash or a writer at work leaves it; the next open settles it
    NOTE = "note"  # worth knowing, nothing to do


_WORST_FIRST: Final = tuple(Severity)
GOOD: Final = "good"


@record
class Finding:
    """One thing to know about one file. Sequences are those of the events that it affects."""

    severity: Severity
    code: str  # short and stable, for programs
    file: str  # relative to what was looked at
    what: str
    offset: int | None = None
    first_seq: int | None = None
    last_seq: int | None = None

    @property
    def advice(self) -> str:
        """What to do."""
        return ADVICE[self.code]

    def to_dict(self) -> dict[str, Any]:
        return {
            "severity": self.severity.value,
            "code": self.code,
            "file": self.file,
            "offset": self.offset,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "what": self.what,
            "advice": self.advice,
        }


@record
class FileLooked:
    """One file that was read whole."""

    file: str
    part: str  # "log", "checkpoints", "archive", "entities", "identity", "quarantine", "other"
    size: int
    events: int | None = None


@dataclass(slots=True)
class Notebook:
    """Where the checks of one part write what they find. Paths are noted relative to ``base``."""

    base: Path
    findings: list[Finding] = field(default_factory=list)
    files: list[FileLooked] = field(default_factory=list)

    def name(self, path: Path) -> str:
        return str(path.relative_to(self.base)) if path.is_relative_to(self.base) else str(path)

    def looked(self, path: Path, part: str, size: int, events: int | None = None) -> None:
        self.files.append(FileLooked(self.name(path), part, size, events))

    def add(
        self,
        severity: Severity,
        code: str,
        path: Path,
        what: str,
        *,
        offset: int | None = None,
        seqs: tuple[int, int] | None = None,
    ) -> None:
        first, last = seqs or (None, None)
        self.findings.append(Finding(severity, code, self.name(path), what, offset, first, last))

    def damage(
        self,
        code: str,
        path: Path,
        what: str,
        *,
        offset: int | None = None,
        seqs: tuple[int, int] | None = None,
    ) -> None:
        self.add(Severity.DAMAGE, code, path, what, offset=offset, seqs=seqs)

    def note(self, code: str, path: Path, what: str) -> None:
        self.add(Severity.NOTE, code, path, what)

    def failed(self, path: Path, error: Exception, code: str) -> None:
        """Note what reading a file raised; ``code`` is for damage."""
        match error:
            case FormatTooNew():
                self.add(Severity.UNREADABLE, "too-new", path, str(error))
            case CorruptionError(offset=offset, reason=reason):
                self.damage(
                    "not-regular" if "not a regular file" in reason else code, path, reason, offset=offset
                )
            case StorageError():
                self.add(Severity.UNREADABLE, "read-failed", path, error.strerror or str(error))
            case _:
                self.damage(code, path, str(error))

    def is_good(self, path: Path) -> bool:
        """Return whether no damage was noted of a file."""
        name = self.name(path)
        return not any(f.file == name and f.severity is Severity.DAMAGE for f in self.findings)

    def recode(self, path: Path, code: str) -> None:
        """Give all damage of a file another code, and with it other advice."""
        name = self.name(path)
        self.findings = [
            replace(finding, code=code)
            if finding.file == name and finding.severity is Severity.DAMAGE
            else finding
            for finding in self.findings
        ]

    @property
    def damaged(self) -> bool:
        return any(finding.severity is Severity.DAMAGE for finding in self.findings)


@record
class Report:
    """Everything that verify() found; ``first_seq`` and ``last_seq`` are of the events in log and archive."""

    path: str
    kind: str  # "store", "archive", "file"
    store_id: str | None
    first_seq: int | None
    last_seq: int | None
    files: tuple[FileLooked, ...]
    findings: tuple[Finding, ...]

    @property
    def damaged(self) -> bool:
        return self.worst is Severity.DAMAGE

    @property
    def worst(self) -> Severity | None:
        """The worst severity among the findings; None without any."""
        return worst_of(self.findings)

    def state_of(self, file: str) -> str:
        """Return "good", or the worst that was found of a file; notes leave it good."""
        worst = worst_of(finding for finding in self.findings if finding.file == file)
        return GOOD if worst in (None, Severity.NOTE) else worst.value

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "path": self.path,
            "kind": self.kind,
            "damaged": self.damaged,
            "worst": self.worst.value if self.worst else None,
            "store_id": self.store_id,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "files": [
                {
                    "file": file.file,
                    "part": file.part,
                    "bytes": file.size,
                    "events": file.events,
                    "state": self.state_of(file.file),
                }
                for file in self.files
            ],
            "findings": [finding.to_dict() for finding in self.findings],
        }


def worst_of(findings: Iterable[Finding]) -> Severity | None:
    """Return the worst severity among findings; None without any."""
    return min((finding.severity for finding in findings), key=_WORST_FIRST.index, default=None)
