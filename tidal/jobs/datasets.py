"""The datasets that jobs write: those every store has, and those that a user registers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tidal.errors import InvalidOption, UnknownDataset
from tidal.jobs.request import FILTERS, JobRequest
from tidal.jobs.source import Context, Source
from tidal.jobs.streams import source_of_result

MakeTable = Callable[[Any, JobRequest], Any]
"""From the database and a request to a Table, or to anything with ``__arrow_c_stream__``."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset: its name, the filters that it takes, and how its rows are made."""

    name: str
    filters: frozenset[str]
    make: Callable[[Context, JobRequest], Source]


class Datasets:
    """The datasets by name. Not safe to share by threads: the caller has a lock."""

    def __init__(self, built_in: Iterable[Dataset]) -> None:
        self._known = {dataset.name: dataset for dataset in built_in}
        self._built_in = frozenset(self._known)

    def filters(self) -> dict[str, tuple[str, ...]]:
        """Return the filters that each dataset takes, in the order of their names."""
        return {
            name: tuple(filter for filter in FILTERS if filter in dataset.filters)
            for name, dataset in sorted(self._known.items())
        }

    def get(self, name: str) -> Dataset:
        """Return a dataset; UnknownDataset where there is none of that name."""
        try:
            return self._known[name]
        except KeyError:
            raise UnknownDataset(name, self._known) from None

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def register(self, name: str, make: MakeTable, filters: Iterable[str]) -> None:
        """Add a dataset of the user's, or replace it. InvalidOption for a name or filter that cannot be."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidOption(f"dataset {name!r}: a name is a letter, then up to 63 of a-z 0-9 _")
        if name in self._built_in:
            raise InvalidOption(f"dataset {name!r} is one of tidal's own; choose another name")
        if not callable(make):
            raise InvalidOption(f"dataset {name!r}: {make!r} is no function of the database and the request")
        chosen = frozenset((filters,) if isinstance(filters, str) else filters)
        if unknown := sorted(chosen - set(FILTERS)):
            raise InvalidOption(f"dataset {name!r}: no filter {unknown[0]!r}; there are {', '.join(FILTERS)}")

        def source(context: Context, request: JobRequest) -> Source:
            return source_of_result(make(context.db, request), context, request.limit)

        self._known[name] = Dataset(name, chosen, source)


def check_filters(dataset: Dataset, request: JobRequest) -> None:
    """Raise InvalidOption for a filter that the dataset does not take."""
    for name in request.filters():
        if name not in dataset.filters:
            taken = ", ".join(name for name in FILTERS if name in dataset.filters) or "none"
            raise InvalidOption(
                f"the dataset {dataset.name!r} has no filter {name!r} (it has {taken}); leave it out"
            )
