"""Search space and samplers: from what is known to the next parameters."""

from .base import Believer, Optimizer, Suggestion, believed
from .registry import OPTIMIZERS, Entry, make_optimizer
from .space import Space, SpaceError, make_space

__all__ = [
    "OPTIMIZERS",
    "Believer",
    "Entry",
    "Optimizer",
    "Space",
    "SpaceError",
    "Suggestion",
    "believed",
    "make_optimizer",
    "make_space",
]
