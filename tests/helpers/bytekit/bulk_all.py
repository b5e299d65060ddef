"""All decoders that are fuzzed in bulk, and one run over them."""

from __future__ import annotations

from typing import Final

from bytekit.bulk import BulkTarget
from bytekit.bulk_documents import DOCUMENT_TARGETS
from bytekit.bulk_files import FILE_TARGETS
from bytekit.bulk_payloads import PAYLOAD_TARGETS
from bytekit.bulk_targets import LOG_TARGETS
from bytekit.fuzzing import DECODERS

BULK: Final[dict[str, BulkTarget]] = {
    **LOG_TARGETS,
    **PAYLOAD_TARGETS,
    **FILE_TARGETS,
    **DOCUMENT_TARGETS,
    **{name: it.bulk_target() for name, it in DECODERS.items() if it.share},
}
