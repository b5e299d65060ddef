"""Events, and what is made of them, as tables and files."""

from tidal.export.columns import Codes, Field, FieldType
from tidal.export.formats import Compression, ExportFormat
from tidal.export.output import Written
from tidal.export.request import ExportedSignal, ExportRequest
from tidal.export.signals import SignalExport, export_signals
from tidal.export.source import SignalSource, StoreSource
from tidal.export.table import Table

__all__ = [
    "Codes",
    "Compression",
    "ExportFormat",
    "ExportRequest",
    "ExportedSignal",
    "Field",
    "FieldType",
    "SignalExport",
    "SignalSource",
    "StoreSource",
    "Table",
    "Written",
    "export_signals",
]
