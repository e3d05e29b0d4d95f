"""Whole jobs, from a configuration to a run folder: a search, or the training of one network."""

from tailornas.pipeline.search import STAGES, Outcome, run
from tailornas.pipeline.standalone import Trained, train, train_stages

__all__ = ["STAGES", "Outcome", "Trained", "run", "train", "train_stages"]
