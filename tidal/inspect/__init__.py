"""Looking at the files of a store without opening it: what is wrong with them, and what is in them."""

from tidal.inspect.doctor import examine, meaning
from tidal.inspect.dump import Dump, Table, dump
from tidal.inspect.events import EVENT_COLUMNS, Time, read_events
from tidal.inspect.findings import Finding, Report, Severity, worst_of
from tidal.inspect.survey import Survey, survey, survey_store
from tidal.inspect.verify import verify

__all__ = [
    "EVENT_COLUMNS",
    "Dump",
    "Finding",
    "Report",
    "Severity",
    "Survey",
    "Table",
    "Time",
    "dump",
    "examine",
    "meaning",
    "read_events",
    "survey",
    "survey_store",
    "verify",
    "worst_of",
]
