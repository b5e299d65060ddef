"""Makes the golden files that are missing; one that is there is never written again.

    PYTHONPATH=tests/helpers python tests/data/format/make.py

What a version of the format has written is read by every later one, so a golden file is made once, when a kind of
file first appears in a version. What should be in it is in tests/helpers/golden_v1.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bytekit.segments import make_segment
from golden_v1 import EPOCH, FOLDER, IDENTITY, expected, schema

from tidal.archive import archive_segment
from tidal.durable import OsFileSystem
from tidal.format.archive import archive_name


def main() -> None:
    made = make_segment(expected(), log=IDENTITY, created_at=EPOCH)
    _write(FOLDER / made.name, made.data)
    with tempfile.TemporaryDirectory() as folder:
        archived = archive_segment(
            OsFileSystem(), Path(folder), FOLDER / made.name, identity=IDENTITY, schema=schema()
        )
        name = archive_name(IDENTITY, archived.base_seq)
        _write(FOLDER / name, (Path(folder) / name).read_bytes())


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        print(f"kept  {path}")
    else:
        print(f"made  {path}")


if __name__ == "__main__":
    main()
