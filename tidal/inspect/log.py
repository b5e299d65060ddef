"""The log of a store: each segment, that they are one chain, and that the manifest agrees."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from pathlib import Path

from tidal.durable import TEMPORARY_SUFFIX, FileSystem
from tidal.errors import CorruptionError, FormatTooNew, StorageError
from tidal.format.manifest import MANIFEST_NAME, ListedSegment, Manifest, decode_manifest
from tidal.format.payload import TypeSet
from tidal.format.segment import NO_HASH, LogIdentity, parse_segment_name
from tidal.inspect.documents import read_document
from tidal.inspect.findings import Notebook, Severity
from tidal.inspect.segments import Around, Contents, check_contents, read_contents
from tidal.records import record
from tidal.wal.segments import place_of

_EPOCHS_TRIED = 10_000  # newest first, where a segment's header is lost

Advance = Callable[[int], None]  # is told the bytes that were looked at


@record
class LogFacts:
    """What the log holds, for what is held against it."""

    manifest: Manifest | None = None
    events: tuple[int, int] | None = None  # first and last; None without any
    heads: dict[int, tuple[int, bytes]] = field(default_factory=dict)  # base seq -> last seq, final hash
    hashes: dict[int, bytes] = field(default_factory=dict)  # after the events that were asked for


@record
class Known:
    """What the rest of the store says of its log."""

    store_id: bytes | None
    types: TypeSet | None
    covered: int = 0  # the last event that a good checkpoint, or the archive, includes
    asked: frozenset[int] = frozenset()  # sequences after which the log's hash is wanted


@record
class _Link:
    """A segment as a link of the chain; None is what the damage has."""

    path: Path
    base_seq: int
    last_seq: int
    size: int
    epoch: int | None = None
    previous: bytes | None = None
    head_hash: bytes | None = None
    sealed: bool = False

    def goes_on(self, head_hash: bytes | None) -> bool:
        """Return whether it may continue what ended with this hash, as far as damage lets it be known."""
        return None in (self.previous, head_hash) or self.previous == head_hash


def check_log(fs: FileSystem, directory: Path, known: Known, book: Notebook, advance: Advance) -> LogFacts:
    """Note all that is wrong with the log in a folder; return what it holds."""
    # Before the segments: the log may have more than the manifest says, and never less.
    manifest = check_manifest(fs, directory / MANIFEST_NAME, known.store_id, book)
    segments: list[tuple[int, Path]] = []
    place = place_of(fs, directory)
    for name in fs.list_dir(directory):
        parsed, path = parse_segment_name(name), directory / name
        if parsed is not None and parsed[:2] == place:
            segments.append((parsed[2], path))
        elif name.endswith(TEMPORARY_SUFFIX):
            book.note("leftover", path, "an unfinished file that a crash left, or a writer at work")
        elif name != MANIFEST_NAME:
            book.note("not-ours", path, "not a file of the log")
    segments.sort()
    links: list[_Link] = []
    facts = LogFacts(manifest)
    for position, (base_seq, path) in enumerate(segments):
        following = segments[position + 1][0] if position + 1 < len(segments) else None
        if manifest is not None and following is not None and following <= manifest.start_seq:
            what = f"it lies before the log's start at {manifest.start_seq}; it was not looked at"
            book.note("segment-left", path, what)
            continue
        clean = manifest is not None and manifest.clean
        around = Around(following, clean, known.types)
        link = _check_segment(fs, path, base_seq, around, known, facts, links, book)
        if link is not None:
            links.append(link)
            advance(link.size)
    live = _check_start(links, manifest, known, book)
    _check_chain(live, known, book)
    if manifest is not None:
        _check_listed(fs, directory, live, manifest, book)
    events = [link for link in live if link.last_seq >= link.base_seq]
    facts.heads.update((link.base_seq, (link.last_seq, link.head_hash)) for link in events if link.head_hash)
    return replace(facts, events=(events[0].base_seq, events[-1].last_seq) if events else None)


def check_manifest(fs: FileSystem, path: Path, store_id: bytes | None, book: Notebook) -> Manifest | None:
    """Return the manifest of a log, or None and a note of why there is none that can be used."""
    missing = "manifest-missing", "missing: what the log should hold is not known"
    manifest = read_document(
        fs, path, decode_manifest, book, part="log", damaged="manifest-damaged", missing=missing
    )
    if manifest is not None and store_id is not None and manifest.store_id != store_id:
        book.damage("manifest-misfit", path, f"it is of the store {manifest.store_id.hex()}")
        return None
    return manifest


def _check_segment(
    fs: FileSystem,
    path: Path,
    base_seq: int,
    around: Around,
    known: Known,
    facts: LogFacts,
    before: list[_Link],
    book: Notebook,
) -> _Link | None:
    """Check one segment; return its link, or None for a file that is no part of the chain."""
    previous = (before[-1].head_hash if before else None) or NO_HASH
    try:
        found = read_contents(fs, path, guess_logs(known.store_id, facts.manifest), previous)
    except (CorruptionError, FormatTooNew, StorageError) as error:
        if not fs.exists(path):  # a writer at work removed it: it was archived
            return None
        book.failed(path, error, "header-damaged")
        # What cannot be read is taken to hold what its neighbours leave to it, so that it is one finding.
        return _Link(path, base_seq, around.following - 1 if around.following else base_seq - 1, 0)
    header = found.header
    if header is not None and header.log.store_id != (known.store_id or header.log.store_id):
        book.damage("segment-foreign", path, f"it is of the store {header.log.store_id.hex()}", offset=0)
        return None
    if header is not None and header.base_seq != base_seq:
        what = f"its header says that it begins at event {header.base_seq}; its name does not"
        book.damage("segment-foreign", path, what, offset=0)
        return None
    check_contents(found, around, book)
    facts.hashes.update(
        (frame.last_seq, frame.hash) for frame in found.frames if frame.last_seq in known.asked
    )
    return _link(found, base_seq, around, book)


def _link(found: Contents, base_seq: int, around: Around, book: Notebook) -> _Link:
    size, header = len(found.data), found.header
    events = sum(frame.events for frame in found.frames)
    book.looked(found.path, "log", size, events)
    last_seq = found.last_seq if header else base_seq - 1
    if around.following is not None and not found.sealed:
        last_seq = max(last_seq, around.following - 1)  # what lacks at its end was noted there
    whole = found.problem is None
    return _Link(
        found.path,
        base_seq,
        last_seq,
        size,
        header.log.epoch if header else None,
        header.previous if header and whole else None,
        found.head_hash,
        found.sealed,
    )


def guess_logs(store_id: bytes | None, manifest: Manifest | None) -> Iterable[LogIdentity]:
    """Yield whose log a segment without a header may be: any epoch up to the manifest's, newest first."""
    owner = store_id or (manifest.store_id if manifest else None)
    newest = manifest.epoch if manifest else _EPOCHS_TRIED
    if owner is not None:
        for epoch in range(newest, max(-1, newest - _EPOCHS_TRIED), -1):
            yield LogIdentity(owner, epoch, *((manifest.region, manifest.shard) if manifest else ()))


def _check_start(links: list[_Link], manifest: Manifest | None, known: Known, book: Notebook) -> list[_Link]:
    """Return the links of the live log; what lies before its start was archived, or retired."""
    start = manifest.start_seq if manifest else 1
    live = [link for link in links if link.last_seq >= start or link.base_seq >= start]
    for link in links:
        if link not in live:
            what = f"events {link.base_seq} to {link.last_seq} lie before the log's start at {start}"
            book.note("segment-left", link.path, what)
    if live and (first := live[0]).base_seq > start:
        _note_missing(book, first.path.parent, start, first.base_seq - 1, known)
    elif live and manifest and first.base_seq == start and not first.goes_on(manifest.start_hash):
        what = "it does not continue what the manifest says was before it: one of them was replaced"
        book.damage("chain-broken", first.path, what, offset=0)
    return live


def _check_chain(links: list[_Link], known: Known, book: Notebook) -> None:
    for before, link in itertools.pairwise(links):
        name = before.path.name
        if link.base_seq > before.last_seq + 1:
            _note_missing(book, link.path.parent, before.last_seq + 1, link.base_seq - 1, known)
            continue
        if link.base_seq <= before.last_seq:
            what = f"it begins at event {link.base_seq}, {name} ends at {before.last_seq}"
            book.damage("chain-broken", link.path, what, offset=0)
        elif not link.goes_on(before.head_hash):
            what = f"it does not continue {name}: one of them was replaced"
            book.damage("chain-broken", link.path, what, offset=0)
        if link.epoch is not None and before.epoch is not None and link.epoch < before.epoch:
            what = f"epoch {link.epoch} after epoch {before.epoch} of {name}"
            book.damage("chain-broken", link.path, what, offset=0)


def _check_listed(
    fs: FileSystem, directory: Path, links: list[_Link], manifest: Manifest, book: Notebook
) -> None:
    """Hold the segments against the manifest's list."""
    there = {link.base_seq: link for link in links}
    path = directory / MANIFEST_NAME
    for listed in manifest.segments:
        if (link := there.get(listed.base_seq)) is None:
            if not _is_noted(book, listed):
                what = "the manifest lists a segment that is not there"
                book.damage("segment-missing", directory, what, seqs=(listed.base_seq, listed.last_seq))
        elif link.size and not _agrees(link, listed):
            what = f"{link.path.name} is not the file that the manifest lists"
            book.damage("manifest-misfit", link.path, what)
    extra = [link for link in links if link.base_seq > manifest.last_seq]
    if manifest.clean and extra:
        what = f"the log was closed cleanly, but {extra[0].path.name} is not in the manifest"
        book.damage("manifest-misfit", extra[0].path, what)
    newest = max((link.epoch for link in links if link.epoch is not None), default=0)
    if newest > manifest.epoch:
        what = f"epoch {manifest.epoch}, but a segment is of epoch {newest}: an older copy was put back"
        book.damage("manifest-misfit", path, what)


def _agrees(link: _Link, listed: ListedSegment) -> bool:
    hash_agrees = link.head_hash is None or link.head_hash == listed.final_hash
    return link.sealed and link.size == listed.size and link.last_seq == listed.last_seq and hash_agrees


def _is_noted(book: Notebook, listed: ListedSegment) -> bool:
    return any(
        finding.code == "segment-missing"
        and (finding.first_seq or 0) <= listed.base_seq
        and listed.last_seq <= (finding.last_seq or 0)
        for finding in book.findings
    )


def _note_missing(book: Notebook, directory: Path, first: int, last: int, known: Known) -> None:
    if last <= known.covered:
        book.add(
            Severity.NOTE,
            "events-gone",
            directory,
            "no segment holds these events; a checkpoint or the archive covers them",
            seqs=(first, last),
        )
    else:
        book.damage("segment-missing", directory, "no segment holds these events", seqs=(first, last))
