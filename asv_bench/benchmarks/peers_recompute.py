"""Every answer of every entity from all events: tidal's replay beside engines that group and sum."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.common import ENTITIES, SKEWED, UNIFORM, events, new_folder
from benchmarks.peers import files, recompute

EVENTS_AN_ENTITY = 2


class FromMemory:
    """Columns or a frame in memory, to a score and four counts of each entity."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED), ("tidal", "duckdb", "polars", "pandas"))
    param_names: ClassVar = ("entities", "skew", "engine")
    number = 1
    timeout = 300

    def setup(self, entities: int, skew: int, engine: str) -> None:
        stream = events(entities, EVENTS_AN_ENTITY * entities, skew=skew)
        at = int(stream.times.max())
        self.answers = {
            "tidal": recompute.tidal_memory,
            "duckdb": recompute.duckdb_memory,
            "polars": recompute.polars_memory,
            "pandas": recompute.pandas_memory,
        }[engine](stream, at)

    def time_answers(self, entities: int, skew: int, engine: str) -> None:
        self.answers()

    def peakmem_answers(self, entities: int, skew: int, engine: str) -> None:
        self.answers()


class FromFiles:
    """The same from tidal's archive, or from Parquet compressed with zstd."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED), ("tidal", "duckdb", "polars", "pandas"))
    param_names: ClassVar = ("entities", "skew", "engine")
    number = 1
    timeout = 300

    def setup(self, entities: int, skew: int, engine: str) -> None:
        stream = events(entities, EVENTS_AN_ENTITY * entities, skew=skew)
        at, folder = int(stream.times.max()), new_folder()
        if engine == "tidal":
            self.answers = recompute.tidal_archive(files.archive(folder / "store", stream), at)
        else:
            self.answers = {
                "duckdb": recompute.duckdb_parquet,
                "polars": recompute.polars_parquet,
                "pandas": recompute.pandas_parquet,
            }[engine](files.parquet(folder, stream), at)

    def time_answers(self, entities: int, skew: int, engine: str) -> None:
        self.answers()

    def peakmem_answers(self, entities: int, skew: int, engine: str) -> None:
        self.answers()


class BytesAnEvent:
    """The size of tidal's archive and of Parquet, in bytes an event."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED), ("tidal", "parquet"))
    param_names: ClassVar = ("entities", "skew", "file")
    unit = "bytes"
    timeout = 300

    def track_size(self, entities: int, skew: int, file: str) -> float:
        stream = events(entities, EVENTS_AN_ENTITY * entities, skew=skew)
        folder = new_folder()
        if file == "tidal":
            paths = files.archive(folder / "store", stream)
        else:
            paths = [files.parquet(folder, stream)]
        return sum(path.stat().st_size for path in paths) / len(stream.ids)
