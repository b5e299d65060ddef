"""Training data from rewards: the shapes that tools for preference tuning read."""

from tidal.export.shapes.request import TrainingRequest
from tidal.export.shapes.training import export_training

__all__ = ["TrainingRequest", "export_training"]
