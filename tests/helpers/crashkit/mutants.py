"""Steps of the protocol, each taken out or turned round: the harnesses must see every one of them.

A mutant names the text that it changes, which must be in its module exactly once, and the searches that
are to find it: a harness of crashkit.hunt and a workload, the quickest first.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One wrong step."""

    name: str
    module: str
    old: str
    new: str
    searches: str  # "harness:workload", separated by blanks


MUTANTS: tuple[Mutant, ...] = (
    # ------------------------------------------------------------ atomic replacement of a file
    Mutant(
        "replacement: the new file is not synced",
        "tidal.durable",
        "            file.sync()\n        finally:",
        "            pass\n        finally:",
        "crash:singles",
    ),
    Mutant(
        "replacement: the folder is not synced",
        "tidal.durable",
        "        raise\n    fs.sync_dir(path.parent)",
        "        raise",
        "crash:singles crash:checkpoints",
    ),
    Mutant(
        "replacement: renamed before it is synced",
        "tidal.durable",
        "            file.sync()\n"
        "        finally:\n"
        "            file.close()\n"
        "        if verify is not None:\n"
        "            verify(temporary)\n"
        "        fs.rename(temporary, path)",
        "            fs.rename(temporary, path)\n"
        "            file.sync()\n"
        "        finally:\n"
        "            file.close()",
        "crash:singles",
    ),
    Mutant(
        "replacement: written in place",
        "tidal.durable",
        "temporary = path.with_name(path.name + TEMPORARY_SUFFIX)\n"
        "    if fs.exists(temporary):\n"
        "        fs.remove(temporary)",
        "temporary = path\n    if fs.exists(temporary):\n        fs.remove(temporary)",
        "crash:singles",
    ),
    Mutant(
        "replacement: the old file is removed first",
        "tidal.durable",
        "        fs.rename(temporary, path)\n    except",
        "        if fs.exists(path):\n"
        "            fs.remove(path)\n"
        "            fs.sync_dir(path.parent)\n"
        "        fs.rename(temporary, path)\n"
        "    except",
        "crash:singles",
    ),
    Mutant(
        "replacement: nothing is read back",
        "tidal.durable",
        "        if verify is not None:\n            verify(temporary)",
        "        pass",
        "garbled:singles",
    ),
    # ------------------------------------------------------------ the active segment
    Mutant(
        "new segment: its header is not synced",
        "tidal.wal.active",
        "            active.sync()\n            active._sync_dir()",
        "            active._sync_dir()",
        "crash:unsynced crash:in_doubt",
    ),
    Mutant(
        "new segment: its name is not synced",
        "tidal.wal.active",
        "            active.sync()\n            active._sync_dir()",
        "            active.sync()",
        "crash:singles",
    ),
    Mutant(
        "seal: written over batches that are not synced",
        "tidal.wal.active",
        "        self.sync()\n        info = self.info\n        data",
        "        info = self.info\n        data",
        "crash:in_doubt crash:unsynced",
    ),
    Mutant(
        "seal: not synced",
        "tidal.wal.active",
        "sealed=True), [data])\n        self.sync()",
        "sealed=True), [data])",
        "crash:rolling",
    ),
    Mutant(
        "failed sync: the log is not poisoned",
        "tidal.wal.active",
        "the kernel has dropped the pages\n            raise self._fail(error) from error",
        "the kernel has dropped the pages\n            raise",
        "eio:singles@45 eio:unsynced@45",
    ),
    Mutant(
        "failed sync: taken for a success",
        "tidal.wal.active",
        "the kernel has dropped the pages\n            raise self._fail(error) from error",
        "the kernel has dropped the pages\n            pass",
        "eio:singles@45",
    ),
    Mutant(
        "failed write: the log is not poisoned",
        "tidal.wal.active",
        "            self._truncate()\n"
        "            raise\n"
        "        except StorageError as error:\n"
        "            raise self._fail(error) from error\n"
        "        self.info = after",
        "            self._truncate()\n"
        "            raise\n"
        "        except StorageError as error:\n"
        "            self._pending = None\n"
        "            raise\n"
        "        self.info = after",
        "eio:unsynced@45 eio:in_doubt@45",
    ),
    Mutant(
        "full disk: what was half written stays in the file",
        "tidal.wal.active",
        "            self._file.truncate(self.info.size)",
        "            self._file.size()",
        "enospc:singles@45",
    ),
    Mutant(
        "full disk: the batch counts as written",
        "tidal.wal.active",
        "        except NoSpace:\n"
        "            self._truncate()\n"
        "            raise\n"
        "        except StorageError as error:\n"
        "            raise self._fail(error) from error\n"
        "        self.info = after",
        "        except NoSpace:\n"
        "            pass\n"
        "        except StorageError as error:\n"
        "            raise self._fail(error) from error\n"
        "        self.info = after",
        "enospc:singles@45",
    ),
    Mutant(
        "Ctrl-C: an interrupted write is forgotten, its sequence used again",
        "tidal.wal.active",
        "        if size == after.size:\n            self.info = after\n            self._pending = None",
        "        if size == after.size:\n            self._pending = None",
        "interrupted:in_doubt interrupted:singles interrupted:unsynced",
    ),
    Mutant(
        "Ctrl-C: an interrupted write is not settled",
        "tidal.wal.active",
        "        if (after := self._pending) is None:",
        "        if (after := self._pending) is None or after:",
        "interrupted:in_doubt interrupted:singles interrupted:unsynced",
    ),
    # ------------------------------------------------------------ the writer
    Mutant(
        "acknowledged before the sync",
        "tidal.wal.writer",
        "        if self.policy.waits:\n            self.wait_durable(seq)",
        "        pass",
        "crash:singles",
    ),
    Mutant(
        "sync left out",
        "tidal.wal.writer",
        "            active.sync()\n            self._note_durable(info)",
        "            self._note_durable(info)",
        "crash:singles",
    ),
    Mutant(
        "durable_seq raised before the sync",
        "tidal.wal.writer",
        "            active.sync()\n            self._note_durable(info)",
        "            self._note_durable(info)\n            active.sync()",
        "eio:singles@45",
    ),
    Mutant(
        "batches always say that nothing is durable",
        "tidal.wal.writer",
        "active.write(encoded, self._durable_seq)",
        "active.write(encoded, 0)",
        "tamper:singles",
    ),
    Mutant(
        "batches say that more is durable than is",
        "tidal.wal.writer",
        "active.write(encoded, self._durable_seq)",
        "active.write(encoded, active.info.last_seq)",
        "crash:unsynced crash:in_doubt",
    ),
    Mutant(
        "flush does not wait",
        "tidal.wal.writer",
        "        self.wait_durable(last_seq)\n        return last_seq",
        "        return last_seq",
        "crash:unsynced",
    ),
    Mutant(
        "poison is not noted",
        "tidal.wal.writer",
        "self._poison = self._poison or poison",
        "self._sync_failed = poison",
        "eio:singles@45 eio:unsynced@45 eio:in_doubt@45",
    ),
    Mutant(
        "poison is not looked at",
        "tidal.wal.writer",
        "        if self._poison is not None:\n            raise StorePoisoned(",
        "        if False:\n            raise StorePoisoned(",
        "eio:singles@45 eio:unsynced@45 eio:in_doubt@45",
    ),
    Mutant(
        "roll: the old segment is not sealed",
        "tidal.wal.writer",
        "                self._seal(seen)\n            last_seq",
        "                self._chain = ((*self._chain[0], seen.info), None)\n            last_seq",
        "crash:rolling",
    ),
    Mutant(
        "roll: the next segment is made before the seal",
        "tidal.wal.writer",
        "            if seen is not None:\n"
        "                self._seal(seen)\n"
        "            last_seq, head_hash = self._tip()\n"
        "            header = SegmentHeader(self._identity, last_seq + 1, self._wall_clock(), "
        "head_hash)\n"
        "            active = ActiveSegment.create(self._fs, self._directory, header, self._fail)",
        "            last_seq, head_hash = self._tip()\n"
        "            header = SegmentHeader(self._identity, last_seq + 1, self._wall_clock(), "
        "head_hash)\n"
        "            active = ActiveSegment.create(self._fs, self._directory, header, self._fail)\n"
        "            if seen is not None:\n"
        "                self._seal(seen)",
        "crash:rolling",
    ),
    Mutant(
        "roll: the next segment does not name the one before",
        "tidal.wal.writer",
        "last_seq + 1, self._wall_clock(), head_hash)",
        "last_seq + 1, self._wall_clock(), bytes(32))",
        "crash:rolling",
    ),
    Mutant(
        "seal: not in the manifest until the close",
        "tidal.wal.writer",
        "            self._record.add(self._chain[0])",
        "            pass",
        "tamper:rolling tamper:in_doubt",
    ),
    Mutant(
        "manifest: lists a segment before its seal",
        "tidal.wal.writer",
        "        active.seal()\n        self._note_durable(active.info)",
        "        if self._record is not None:\n"
        "            import dataclasses\n"
        "            info = active.info\n"
        "            self._record.add((*self._chain[0], dataclasses.replace(info, "
        "size=info.size + 144, sealed=True)))\n"
        "        active.seal()\n"
        "        self._note_durable(active.info)",
        "crash:rolling",
    ),
    Mutant(
        "close: the clean marker before the seal",
        "tidal.wal.writer",
        "                active = self._settled()\n"
        "                if active is not None and active.info.batches:\n"
        "                    self._seal(active)",
        "                active = self._settled()\n"
        "                if self._record is not None:\n"
        "                    self._record.close(self._chain[0])\n"
        "                if active is not None and active.info.batches:\n"
        "                    self._seal(active)",
        "crash:singles",
    ),
    Mutant(
        "close: the last segment stays unsealed",
        "tidal.wal.writer",
        "                if active is not None and active.info.batches:\n"
        "                    self._seal(active)",
        "                if active is not None and active.info.batches:\n"
        "                    self._chain = ((*self._chain[0], active.info), None)",
        "crash:singles",
    ),
    # ------------------------------------------------------------ the manifest of the log
    Mutant(
        "manifest: says at each seal that the log is closed",
        "tidal.wal.record",
        "            self._write(self._with(sealed))",
        "            self._write(replace(self._with(sealed), clean=True))",
        "crash:rolling",
    ),
    Mutant(
        "forget: goes beyond what it was asked",
        "tidal.wal.record",
        "if segment.last_seq <= through_seq]",
        "if segment.base_seq <= through_seq + 60]",
        "crash:archived crash:retired",
    ),
    Mutant(
        "forget: the start has another hash",
        "tidal.wal.record",
        "start_hash=last.final_hash, segments=kept",
        "start_hash=bytes(32), segments=kept",
        "crash:archived crash:retired",
    ),
    # ------------------------------------------------------------ opening
    Mutant(
        "creation: the name before the manifest",
        "tidal.opening.stored",
        "    write_manifest(fs, paths.wal, empty)\n    name_store(fs, paths, store_id, region, shard)",
        "    name_store(fs, paths, store_id, region, shard)\n    write_manifest(fs, paths.wal, empty)",
        "crash:singles",
    ),
    Mutant(
        "opening: a name whose sync failed once is never synced again",
        "tidal.opening.preparing",
        "        for folder in (paths.base.parent, paths.base, paths.checkpoints, paths.archive):",
        "        for folder in ():",
        "eio:singles@25",
    ),
    Mutant(
        "opening: the manifest still says that the log is closed",
        "tidal.opening.preparing",
        "epoch=epoch, clean=False",
        "epoch=epoch, clean=found.manifest.clean",
        "crash:singles",
    ),
    Mutant(
        "opening: the new epoch is not written before the first append",
        "tidal.opening.preparing",
        "            write_manifest(self._fs, self._paths.wal, manifest)",
        "            pass",
        "crash:singles",
    ),
    Mutant(
        "opening: a log that was not closed is gone on with as it is",
        "tidal.opening.preparing",
        "            scan = repair_tail(self._fs, self._look(), self._paths.quarantine, seal=seal)",
        "            scan = self._look()",
        "crash:singles",
    ),
    Mutant(
        "opening: a grown schema is used and not saved",
        "tidal.opening.preparing",
        "                save_schema(self._fs, self._paths, self._grown)",
        "                pass",
        "crash:evolution",
    ),
    # ------------------------------------------------------------ repair
    Mutant(
        "repair: what is cut off is not kept",
        "tidal.wal.repair",
        "        kept.append(_quarantine(fs, scan.torn, quarantine_dir))",
        "        pass",
        "crash:unsynced",
    ),
    Mutant(
        "repair: truncates in place",
        "tidal.wal.repair",
        "    replace_file(fs, info.path, parts, verify)\n    return rewritten",
        "    file = fs.open_append(info.path)\n"
        "    file.truncate(good)\n"
        "    file.append([info.seal().encode(info.header.identity, good)])\n"
        "    file.sync()\n"
        "    return rewritten",
        "eio-cached:singles@45 eio-cached:in_doubt@45",
    ),
    Mutant(
        "repair: writes no seal",
        "tidal.wal.repair",
        "    replace_file(fs, info.path, parts, verify)\n    return rewritten",
        "    replace_file(fs, info.path, parts[:1])\n    return rewritten",
        "crash:singles",
    ),
    Mutant(
        "repair: a good unfinished end is taken for durable",
        "tidal.wal.scan",
        "            self._proven = False  #",
        "            self._proven = True  #",
        "crash:singles",
    ),
    Mutant(
        "repair: loses the last good batch",
        "tidal.wal.repair",
        "    good = info.size - SEAL.size if info.sealed else info.size\n",
        "    good = info.size - SEAL.size\n",
        "crash:singles",
    ),
    # ------------------------------------------------------------ what is read is checked
    Mutant(
        "reading: a read error is taken for the end of the file",
        "tidal.wal.segments",
        "        return memoryview(file.read_at(0, size))",
        "        try:\n"
        "            return memoryview(file.read_at(0, size))\n"
        "        except OSError:\n"
        "            return memoryview(b'')",
        "unreadable:singles unreadable:in_doubt",
    ),
    Mutant(
        "batch: its hash is not checked",
        "tidal.format.frame",
        "    if own != _hash(identity, offset, link, bytes(",
        "    if not own and own != _hash(identity, offset, link, bytes(",
        "tamper:in_doubt crash:unsynced",
    ),
    Mutant(
        "batch: the link to the one before is not checked",
        "tidal.wal.segments",
        "if frame.first_seq != info.last_seq + 1 or frame.link != info.final_hash:",
        "if frame.first_seq != info.last_seq + 1:",
        "tamper:in_doubt tamper:unsynced",
    ),
    Mutant(
        "batch: its payload is not in the hash",
        "tidal.format.frame",
        "    digest = blake3.blake3(data[payload_at:end]).digest()",
        "    digest = blake3.blake3(b'').digest()",
        "crash:unsynced",
    ),
    Mutant(
        "segment: the link to the one before is not checked",
        "tidal.wal.scan",
        "    if info.header.previous != before.final_hash:",
        "    if False:",
        "tamper:in_doubt tamper:rolling",
    ),
    Mutant(
        "segment: a listed one that is missing is passed over",
        "tidal.wal.scan",
        "            if path is None:\n"
        "                raise MissingSegment(listed.base_seq, listed.last_seq, self._directory)",
        "            if path is None:\n                return",
        "tamper:in_doubt",
    ),
    Mutant(
        "segment: it is not held against the manifest",
        "tidal.wal.scan",
        "            if info.listing != listed:",
        "            if False:",
        "tamper:in_doubt",
    ),
    Mutant(
        "torn or damaged: a later batch's word is not heard",
        "tidal.wal.tail",
        "        if durable >= lost:",
        "        if False:",
        "tamper:singles",
    ),
    Mutant(
        "torn or damaged: a bad header means an empty segment",
        "tidal.wal.tail",
        "        if has_data(data[SEGMENT_HEADER.size :]):  #",
        "        if False:  #",
        "tamper:singles",
    ),
    Mutant(
        "torn or damaged: the walk ends quietly at a bad batch",
        "tidal.wal.segments",
        "                if has_data(data[offset:]):\n                    self.stopped = str(error)",
        "                pass",
        "crash:unsynced tamper:singles",
    ),
    Mutant(
        "manifest: its hash is not checked",
        "tidal.format.document",
        "        if said != _digest(body) or data != _with_digest(body, said):",
        "        if not said:",
        "alone:singles",
    ),
    Mutant(
        "seal: its hash is not checked",
        "tidal.format.segment",
        "    if own != _seal_hash(identity, offset, bytes(data[: SEAL.size - _HASH_BYTES])):",
        "    if not own:",
        "crash:in_doubt crash:unsynced tamper:in_doubt tamper:singles",
    ),
    # ------------------------------------------------------------ checkpoints
    Mutant(
        "checkpoint: ahead of the log",
        "tidal.db.upkeep",
        "                self._log.flush()  # a",
        "                pass  # a",
        "crash:interval crash:unsynced",
    ),
    Mutant(
        "checkpoint: names are not saved before it",
        "tidal.db.upkeep",
        "            self._names.flush()  #",
        "            pass  #",
        "crash:names",
    ),
    Mutant(
        "checkpoint: names are saved after it",
        "tidal.db.upkeep",
        "                self._names.flush()  # after this the log is no longer needed for them\n"
        "                self._needed_after = save_checkpoint(disk.fs, disk.paths, disk.identity, "
        "state)\n",
        "                self._needed_after = save_checkpoint(disk.fs, disk.paths, disk.identity, "
        "state)\n"
        "                self._names.flush()\n",
        "crash:names",
    ),
    Mutant(
        "checkpoint: what was written is not verified",
        "tidal.checkpoint.writer",
        "        if verify_checkpoint(fs, written) != header:",
        "        if not header:",
        "garbled:singles",
    ),
    Mutant(
        "checkpoint: the log is given up below the newest one",
        "tidal.checkpoint.writer",
        "    return good[-1] if",
        "    return good[0] if",
        "crash:retired",
    ),
    Mutant(
        "checkpoint: events before it are applied again",
        "tidal.recovery",
        "    for _, batch in history(fs, paths, identity, seq, scan.last_seq):",
        "    for _, batch in history(fs, paths, identity, 0, scan.last_seq):",
        "crash:singles",
    ),
    Mutant(
        "checkpoint: a section's hash is not checked",
        "tidal.format.snapshot",
        "    if digest != entry.digest:",
        "    if not digest:",
        "tamper:singles",
    ),
    # ------------------------------------------------------------ archive and retention
    Mutant(
        "archive: the log forgets what the manifest does not list",
        "tidal.archive.upkeep",
        "        manifest = replace(manifest, files=(*manifest.files, file))\n"
        "        self._write(manifest)\n"
        "        return manifest",
        "        manifest = replace(manifest, files=(*manifest.files, file))\n"
        "        self._durable = manifest\n"
        "        return manifest",
        "crash:archived",
    ),
    Mutant(
        "archive: what was written is not verified",
        "tidal.archive.writer",
        "            written.verify()",
        "            pass",
        "garbled:archived@10",
    ),
    Mutant(
        "archive: goes beyond the second newest checkpoint",
        "tidal.archive.upkeep",
        "        held_at, held_by = self._limit(needed_after)",
        "        held_at, held_by = self._limit(1 << 40)",
        "crash:retired",
    ),
    Mutant(
        "archive: a follower's mark is not heeded",
        "tidal.archive.upkeep",
        "if lowest and lowest[1] < needed_after else (needed_after, CHECKPOINT)",
        "if False else (needed_after, CHECKPOINT)",
        "crash:retired",
    ),
    Mutant(
        "retention: files removed before the manifest says so",
        "tidal.archive.upkeep",
        "            self._write(manifest)\n            self._clean(manifest)\n        return gone",
        "            durable, self._durable = self._durable, manifest\n"
        "            self._clean(manifest)\n"
        "            self._durable = durable\n"
        "            self._write(manifest)\n"
        "        return gone",
        "crash:retired",
    ),
    Mutant(
        "archive: a block's hash is not checked",
        "tidal.format.archive",
        "    if len(stored) != entry.stored_bytes or blake3(stored).digest() != entry.hash:",
        "    if len(stored) != entry.stored_bytes:",
        "alone:archived",
    ),
    Mutant(
        "archive: its header's hash is not checked",
        "tidal.format.archive",
        "    if own != _header_hash(data[: ARCHIVE_HEADER.size - _HASH_BYTES]):",
        "    if not own:",
        "alone:archived",
    ),
    Mutant(
        "archive: the file is not held against the manifest",
        "tidal.history",
        "        if header_hash(opened.header) != file.header_hash:",
        "        if False:",
        "tamper:archived",
    ),
    # ------------------------------------------------------------ the buffered policy, deduplication
    Mutant(
        "buffered: flush does not drain",
        "tidal.wal.buffer",
        "        self._drain()\n        return super().settle()",
        "        return super().settle()",
        "crash:buffered",
    ),
    Mutant(
        "buffered: close does not drain",
        "tidal.wal.buffer",
        "            with self._draining, self._putting:  # who is putting now is done first\n"
        "                self._write_waiting()",
        "            pass",
        "crash:buffered",
    ),
    Mutant(
        "deduplication: nothing is remembered across an opening",
        "tidal.recovery",
        "    after = seen.begin_after(last_seq)",
        "    after = last_seq",
        "crash:retried",
    ),
    Mutant(
        "deduplication: a refused event is remembered",
        "tidal.db.recorder",
        "                seen.take_back(admission, logged)",
        "                pass",
        "enospc:retried@45",
    ),
)
