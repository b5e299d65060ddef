"""Every exception that tidal raises on purpose; one tree under TidalError.

An error has fields, then a message that says what was wrong, where, and what to do. A child also
inherits the builtin that a caller would expect, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


class TidalError(Exception):
    """Root of all errors raised by tidal."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let executors hand an error from one process to another, with its fields."""
        if isinstance(self, OSError):  # which knows how, and keeps the number apart from its arguments
            return tuple(super().__reduce__())
        return _error_again, (type(self), self.args, self.__dict__)


def _error_again(kind: type[TidalError], args: tuple[Any, ...], fields: dict[str, Any]) -> TidalError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


def close_after(error: BaseException | None, close: Callable[[], None], what: str) -> None:
    """Close something at the end of its ``with`` block, which ``error`` left, if that is not None.

    What close() raises then becomes a note of that error: what came first says more.
    """
    try:
        close()
    except (TidalError, OSError) as failure:
        if error is None:
            raise
        error.add_note(f"closing {what} failed too: {failure}")


# ---------------------------------------------------------------------------------- schema


class SchemaError(TidalError, ValueError):
    """A schema, or a use of it, is not valid."""


class DuplicateName(SchemaError):
    """Two signal types have the same name."""


class InvalidName(SchemaError):
    """A signal type's name does not match ``[a-z][a-z0-9_]*``, 64 characters at most."""


class InvalidKind(SchemaError):
    """An entity kind is not one of item, user, creator."""


class InvalidDuration(SchemaError):
    """A half-life or window is not a duration that tidal can keep."""


class InvalidWindow(SchemaError):
    """A window is not one of 1h, 24h, 7d."""


class TooManyHalfLives(SchemaError):
    """More than three half-lives were asked of one signal type; a hot record holds three sums."""


class TooManySignals(SchemaError):
    """More than 64 signal types were declared for one kind."""


class VelocityWithoutWindows(SchemaError):
    """Velocity is a window count over its length, and no window was declared."""


class SchemaMismatch(SchemaError):
    """The store's schema and the given one differ in a way that would change what its events mean."""

    def __init__(self, differences: Iterable[str]) -> None:
        self.differences = tuple(differences)
        super().__init__(
            "the schema differs from the one saved with the store: "
            + "; ".join(self.differences)
            + ". Open with the saved schema (leave schema= out), or only add signal types."
        )


class UnknownSignalType(SchemaError, LookupError):
    """No signal type has this name."""

    def __init__(self, name: object, known: Iterable[str], *, row: int | None = None) -> None:
        self.name, self.known, self.row = name, tuple(known), row
        from difflib import get_close_matches

        close = get_close_matches(str(name), self.known, n=3)
        hint = (
            f"did you mean {' or '.join(map(repr, close))}?"
            if close
            else f"declared: {', '.join(self.known)}"
        )
        where = "" if row is None else f"row {row}, column 'signal': "
        super().__init__(f"{where}unknown signal type {name!r}; {hint}")


class UnknownMeasure(SchemaError, LookupError):
    """A measure (window, velocity, half-life) was asked for that the signal type does not declare."""


# ---------------------------------------------------------------------------------- input


class InvalidEvent(TidalError, ValueError):
    """An event was refused; nothing of its batch was logged or applied."""

    def __init__(
        self, reason: str, *, row: int | None = None, column: str | None = None, value: object = None
    ):
        self.reason, self.row, self.column, self.value = reason, row, column, value
        where = [f"row {row}"] if row is not None else []
        if column is not None:
            where.append(f"column {column!r}")
            if row is not None:
                where.append(f"value {value!r}")
        super().__init__(f"{', '.join(where)}: {reason}" if where else reason)


class KeyCollision(TidalError):
    """Two different keys have the same 64-bit id; rename one of them."""


class InvalidEntity(TidalError, ValueError):
    """An entity's id, key or metadata was refused."""


class InvalidKey(TidalError, ValueError):
    """A keyspace, key or value is not one that the storage engine can hold."""


class InvalidRetention(TidalError, ValueError):
    """``retain=`` is not "forever", an age or a size."""


class InvalidMark(TidalError, ValueError):
    """A mark's name or sequence was refused."""


class LimitExceeded(TidalError):
    """A configured limit was reached; the message names the knob."""


class InvalidOption(TidalError, ValueError):
    """An option or argument has a value that it does not take; no event and no entity is at fault."""


# ---------------------------------------------------------------------------------- sessions


class UnknownSession(TidalError, LookupError):
    """No session with this id is known: there was none, or it was closed long ago."""


class SessionClosed(TidalError):
    """The session was closed, by its caller or because nothing happened in it; open another."""


class RateLimited(LimitExceeded):
    """A session made more operations than its rate allows; nothing of this one was recorded.

    ``limit`` is the rate, in operations a second; after ``retry_after`` seconds there is room for one.
    """

    def __init__(self, agent: str, session_id: int, limit: float, retry_after: float) -> None:
        self.agent, self.session_id, self.limit, self.retry_after = agent, session_id, limit, retry_after
        super().__init__(
            f"agent {agent!r} in session {session_id}: more than {limit:g} operations a second; "
            f"try again in {retry_after:.3f} s, or raise tidal.SessionLimits(rate=...)"
        )


# ---------------------------------------------------------------------------------- the store


class StorageError(TidalError, OSError):
    """The operating system refused a read or a write of a store's file."""


class NoSpace(StorageError):
    """The disk is full; nothing was acknowledged, and the store goes on when space returns."""


class StorePoisoned(StorageError):
    """An earlier write or sync failed, so what is on disk is unknown; close and open the store again."""


class StoreLocked(TidalError):
    """Another process, or this one, has the store open for writing."""


class StoreMissing(TidalError, FileNotFoundError):
    """The folder is not a store."""


class StoreClosed(TidalError):
    """The database was closed (or belongs to the parent of this forked process)."""


class ReadOnly(TidalError):
    """A write was asked of a database that only reads."""


class FormatTooNew(TidalError):
    """The file was written by a newer tidal; nothing was touched."""


class FormatError(TidalError, ValueError):
    """Bytes are not what their format says; the reader of a file turns it into a CorruptionError with a
    place.
    """


class CorruptionError(TidalError):
    """Bytes failed their check where the store says that they were synced."""

    def __init__(self, path: Path | str, offset: int, reason: str) -> None:
        self.path, self.offset, self.reason = Path(path), offset, reason
        super().__init__(f"{path} at byte {offset}: {reason}")


class CorruptLog(CorruptionError):
    """A segment of the write-ahead log is damaged."""


class CorruptArchive(CorruptionError):
    """A file of the archive is damaged."""


class CorruptCheckpoint(CorruptionError):
    """A checkpoint is damaged."""


class CorruptStore(CorruptionError):
    """Another file of the store (schema, key-value data) is damaged."""


class MissingSegment(TidalError):
    """The log lacks a range of sequences that no checkpoint covers."""

    def __init__(self, first: int, last: int, where: Path | str) -> None:
        self.first, self.last = first, last
        super().__init__(f"{where}: events {first} to {last} are missing from the log")


# ---------------------------------------------------------------------------------- regions


class ClockSkew(TidalError):
    """A stamp of another node is too far ahead of the clock here; set the clocks of both by NTP."""

    def __init__(self, node: int, ahead_ns: int, most_ns: int) -> None:
        self.node, self.ahead_ns, self.most_ns = node, ahead_ns, most_ns
        super().__init__(
            f"node {node} stamped something {ahead_ns / 1e9:.3f} s ahead of the clock here; at most "
            f"{most_ns / 1e9:g} s are taken: set both clocks, or raise max_skew="
        )


# ---------------------------------------------------------------------------------- exports


class ExportCancelled(TidalError):
    """An export was cancelled; it left no file."""


class UnknownJob(TidalError, LookupError):
    """No export job has this id."""


class JobNotDone(TidalError):
    """An export job has no file: it is not done, or failed."""


class UnknownDataset(TidalError, LookupError):
    """No dataset for export jobs has this name."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        self.name, self.known = name, tuple(sorted(known))
        super().__init__(
            f"no dataset {name!r}; there are {', '.join(self.known)}, and those that db.jobs.register() adds"
        )


# ---------------------------------------------------------------------------------- replays


class WorkersLost(TidalError):
    """The workers of a replay ended again and again; what was done is in its scratch folder, if any."""


# ---------------------------------------------------------------------------------- commands


class UsageError(TidalError, ValueError):
    """A command line contradicts itself or names what cannot be."""


class UnreadableInput(TidalError):
    """A file to load is damaged or not of the format it was read as."""


class UnreachableService(TidalError, ConnectionError):
    """A service that a command asks does not answer, or not as tidal does."""


# ---------------------------------------------------------------------------------- replication


class TransportError(TidalError):
    """A message could not be sent or received, or a name not be claimed; try again."""


class TransportClosed(TransportError):
    """The transport was closed; make another."""


class PayloadTooLarge(TransportError, ValueError):
    """A message has more bytes than the transport takes; nothing was sent."""


class ReplicationError(TidalError):
    """A leader or follower cannot go on as it is."""


class StaleEpoch(ReplicationError):
    """Another node leads in a later epoch; what this one writes counts no more."""


class SchemaBehind(ReplicationError):
    """The leader's schema has signal types that this store's lacks."""


class ForeignHistory(ReplicationError):
    """A log does not continue this one: it is another store's, or went its own way."""


# ---------------------------------------------------------------------------------- extras


class MissingExtra(TidalError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'tidaldb[{extra}]'")
