"""What an event is worth."""

from __future__ import annotations

import numpy as np

from tidal.export.shapes.request import TrainingRequest
from tidal.export.shapes.scores import F64
from tidal.schema import EventBatch, Schema
from tidal.schema.events import NOTE_TYPE_ID


class Rewards:
    """Weights of events times the factors of their types."""

    def __init__(self, schema: Schema, request: TrainingRequest) -> None:
        self._factors = np.ones(NOTE_TYPE_ID)
        for name, factor in request.rewards.items():
            self._factors[schema.signal(name).type_id] = factor

    def of(self, batch: EventBatch) -> F64:
        """Return the reward of each event, float64."""
        return batch.weight * self._factors[batch.type_id]
