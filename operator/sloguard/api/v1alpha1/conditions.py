"""Conditions as Kubernetes' conventions have them."""

from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime, Field
from pydantic.config import JsonDict

from .base import ObservedModel

CONDITION_MAP: Final[JsonDict] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
"""One of each type, as `kubectl wait --for=condition=Ready` and server-side apply expect."""


class ConditionStatus(StrEnum):
    """Kubernetes' three values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class StatusCondition(ObservedModel):
    """A condition as Kubernetes' conventions have it. Ready, Reconciling and Stalled follow kstatus."""

    type: str = Field(max_length=316)
    status: ConditionStatus
    observed_generation: int | None = None
    last_transition_time: AwareDatetime
    reason: str = Field(max_length=1024)
    message: str = Field(default="", max_length=4096)
