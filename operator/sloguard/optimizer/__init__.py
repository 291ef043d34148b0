"""Search space and samplers: from what is known to the next parameters."""

from .base import Optimizer, Suggestion
from .registry import OPTIMIZERS, Entry, make_optimizer
from .space import Space, SpaceError, make_space

__all__ = ["OPTIMIZERS", "Entry", "Optimizer", "Space", "SpaceError", "Suggestion", "make_optimizer", "make_space"]
