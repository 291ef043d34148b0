"""The part of Kubernetes' object metadata that the system reads and writes; the rest is passed over."""

from pydantic import AwareDatetime, Field

from .base import ObservedModel


class OwnerReference(ObservedModel):
    """Whose garbage collection takes this object along."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(ObservedModel):
    """Name and identity of an object; local objects have a name and a uid only."""

    name: str = Field(min_length=1, max_length=253)
    namespace: str | None = None
    uid: str = ""
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []
