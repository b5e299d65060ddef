"""Flips every single bit of a full segment and shows that the decoder of a reader refuses each.

python tests/soak/run.py bit_flips --bits all --workers 2 --out bit_flips.json
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import blake3
from bytekit.flips import Unit, accepted_flips, units
from bytekit.parallel import spread
from bytekit.segments import full_segment
from soakkit import Progress, finish

SIZES = {"small": ("--bits", "1000000"), "full": ("--bits", "all", "--workers", "2")}

_TASK_BITS = 100_000


class Part(NamedTuple):
    """What one task found."""

    bits: int
    accepted: list[int]
    restored: bool  # the segment's bytes are what they were


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bit_flips", description=__doc__)
    parser.add_argument("--bits", default="1000000", help='how many, in frames at random, or "all"')
    parser.add_argument("--segment-bytes", type=int, default=1 << 24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    made = full_segment(args.segment_bytes, args.seed)
    chosen = _chosen(list(units(memoryview(made.data))), args.bits, args.seed)
    wanted = sum(8 * (unit.end - unit.offset) for unit in chosen)
    progress = Progress(wanted, "flips")
    violations: list[str] = []
    with tempfile.NamedTemporaryFile(prefix="tidal-bit-flips-") as file:
        file.write(made.data)
        file.flush()
        for part in spread(functools.partial(_sweep, Path(file.name)), _tasks(chosen), args.workers):
            progress.add(part.bits)
            violations += [f"bit {bit} flipped, and accepted" for bit in part.accepted]
            if not part.restored:
                violations.append("the segment was not as before after its flips")
    progress.end()
    figures = {
        "flips": progress.done,
        "detected": progress.done - len(violations),
        "bits in the segment": 8 * len(made.data),
        "batches": len(made.frames),
        "flips/s": round(progress.done / progress.seconds),
        "workers": args.workers,
        "segment blake3": blake3.blake3(made.data).hexdigest(),
    }
    return finish(
        args.out, program="bit_flips", seconds=progress.seconds, figures=figures, violations=violations
    )


def _chosen(found: list[Unit], bits: str, seed: int) -> list[Unit]:
    """Return all units, or header, seal and frames at random that hold about that many bits."""
    if bits == "all":
        return found
    count = len(found) * int(bits) // (8 * found[-1].end)
    frames = random.Random(seed).sample(found[1:-1], min(count, len(found) - 2))
    return [found[0], *sorted(frames), found[-1]]


def _tasks(chosen: list[Unit]) -> Iterator[list[Unit]]:
    task: list[Unit] = []
    for unit in chosen:
        task.append(unit)
        if 8 * sum(unit.end - unit.offset for unit in task) >= _TASK_BITS:
            yield task
            task = []
    if task:
        yield task


def _sweep(path: Path, task: list[Unit]) -> Part:
    data, digest = _loaded(path)
    accepted = list(itertools.chain.from_iterable(accepted_flips(data, unit) for unit in task))
    bits = sum(8 * (unit.end - unit.offset) for unit in task)
    return Part(bits, accepted, blake3.blake3(data).digest() == digest)


@functools.lru_cache(maxsize=1)
def _loaded(path: Path) -> tuple[bytearray, bytes]:
    data = bytearray(path.read_bytes())
    return data, blake3.blake3(data).digest()


if __name__ == "__main__":
    raise SystemExit(main())
