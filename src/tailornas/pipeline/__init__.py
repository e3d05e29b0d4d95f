"""Whole jobs, from a configuration to a run folder: a search, or the training of one network."""

from tailornas.pipeline.search import STAGES, Outcome, run
from tailornas.pipeline.standalone import TRAIN_STAGES, Trained, train

__all__ = ["STAGES", "TRAIN_STAGES", "Outcome", "Trained", "run", "train"]
