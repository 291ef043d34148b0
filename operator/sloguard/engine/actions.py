"""What the planner may ask of a substrate. Each is idempotent: done twice, it is done once."""

from dataclasses import dataclass
from enum import StrEnum

from sloguard.api.v1alpha1 import PreviousPace, RolloutPace, StudyStatus, Trial, TrialSpec, TrialStatus


@dataclass(frozen=True, slots=True)
class RecordTrial:
    """Write down a trial before anything that it causes."""

    name: str
    spec: TrialSpec


@dataclass(frozen=True, slots=True)
class UpdateTrial:
    """Write the trial's status."""

    trial: Trial
    status: TrialStatus


@dataclass(frozen=True, slots=True)
class StartServer:
    """Bring up the candidate: production's template with these arguments."""

    trial: Trial
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartLoad:
    """Put the study's load on the candidate, or have live traffic led to it."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class StopTrial:
    """Remove all that the trial caused; its record stays."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class ApplyArguments:
    """Put these arguments into production."""

    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndPod:
    """Remove this pod of production's, which is in the way of the arguments that production has again."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class StartGitJob:
    """Bring the promotion's arguments to its repository, or its previous ones, by the Job of this number."""

    number: int
    back: bool = False


@dataclass(frozen=True, slots=True)
class SetPace:
    """Let production exchange its pods at this pace."""

    pace: RolloutPace


@dataclass(frozen=True, slots=True)
class GivePaceBack:
    """Let production exchange its pods as it did before."""

    previous: PreviousPace


PaceAction = SetPace | GivePaceBack

ProductionAction = ApplyArguments | EndPod | PaceAction
"""What changes production: a promotion's, and nothing else's."""

Action = RecordTrial | UpdateTrial | StartServer | StartLoad | StopTrial | ProductionAction | StartGitJob


class EventType(StrEnum):
    """Kubernetes' two kinds of events."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """A decision, for people. `key` is unique within the study, so that a repeated reconcile tells it once."""

    key: str
    reason: str
    message: str
    type: EventType = EventType.NORMAL


@dataclass(frozen=True, slots=True)
class Plan:
    """Events, then actions in their order, then the study's status."""

    status: StudyStatus
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    owes_production: bool = False
    """A promotion is under way: the study must not vanish (finalizer) until production is in a known state."""
    status_first: bool = False
    """The trial to be recorded follows from what the status says: after a restart between the two, nobody could tell
    any more why."""
    wake_after_seconds: float = 15.0
    asks_for_room: bool = False
    """A trial would start, if there is room for it: plan again with that in the snapshot, and do none of this."""
