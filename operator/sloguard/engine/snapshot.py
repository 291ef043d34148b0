"""Everything that the planner may know, gathered beforehand by a substrate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sloguard.api.v1alpha1 import LoadResult, Margins, Platform, RolloutPace, ServedTraffic, Study, Trial
from sloguard.domain.device_memory import DeviceMemory
from sloguard.domain.evidence import Evidence
from sloguard.domain.ledger import EMPTY, Ledger
from sloguard.engine.room import AMPLE, Room


class ServerState(StrEnum):
    """A candidate's server, as far as its substrate can see."""

    ABSENT = "Absent"
    WAITING = "Waiting"
    STARTING = "Starting"
    READY = "Ready"
    ENDED = "Ended"


@dataclass(frozen=True, slots=True)
class Server:
    """`running_since` is when it began to hold its `gpus`; None before that.

    `memory` is of the tightest of these GPUs under load, where that can be seen.
    """

    state: ServerState = ServerState.ABSENT
    evidence: Evidence | None = None
    running_since: datetime | None = None
    margins: Margins | None = None
    memory: DeviceMemory | None = None
    platform: Platform | None = None
    gpus: int = 1


class LoadState(StrEnum):
    """The load on a candidate. Failed means that it ended without a result."""

    ABSENT = "Absent"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Load:
    """`result` is there when it is Done, `detail` when it Failed. `beside` is production's in a canary's window."""

    state: LoadState = LoadState.ABSENT
    result: LoadResult | None = None
    detail: str = ""
    beside: ServedTraffic | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What exists of a trial. `leftovers` says that something of it is still there to be removed."""

    server: Server = field(default_factory=Server)
    load: Load = field(default_factory=Load)
    leftovers: bool = False


@dataclass(frozen=True, slots=True)
class StuckPod:
    """One of production's that is not ready and runs these arguments; its controller waits for it, come what may."""

    name: str
    uid: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rollout:
    """Production's way to the arguments that its template has. `failure` is set when it cannot get there; `evidence`
    is of the server that failed, where one did. So many replicas are `ready`, whichever arguments they have.
    """

    complete: bool = True
    failure: str = ""
    stuck: tuple[StuckPod, ...] = ()
    ready: int = 0
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What production's live traffic says: `before` it was changed, and `since`; `unseen` is why it says nothing."""

    before: ServedTraffic | None = None
    since: ServedTraffic | None = None
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """Of an update of production: pods made beyond the replicas, and replicas that may be missing meanwhile."""

    surge: int = 1
    unavailable: int = 0


@dataclass(frozen=True, slots=True)
class DeclaredPace:
    """What production's object says of its updates, where the operator can change that for a while.

    `manager` is whose these fields are; empty where they are the API's defaults. `withheld` says why they have to stay.
    """

    pace: RolloutPace
    progress_deadline_seconds: int = 600
    manager: str = ""
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class Manager:
    """Who has arguments of its own for production: `kind` in CamelCase, `title` for people, such as a release's name.

    `reverts`: by itself it puts them back; else whenever people use it next. `by_git`: it has them from a repository.
    """

    kind: str
    title: str
    by_git: bool
    reverts: bool = True


@dataclass(frozen=True, slots=True)
class TargetState:
    """Production as it is now: the server's arguments (after `vllm serve`), a hash of its template, its replicas.

    `serving_hash` is of what else makes the server what it is: image, environment, resources and choice of nodes.
    `withheld` says what keeps updates from its pods, `more_room` what lets one go on without a request lost, `differs`
    what a candidate has otherwise than production beside its arguments. `declared` is None of kinds whose pace only
    their owner can change. `at_risk` is what may lose requests at each update of production.
    """

    arguments: tuple[str, ...]
    template_hash: str = ""
    serving_hash: str = ""
    image: str = ""
    replicas: int = 1
    rollout: Rollout = field(default_factory=Rollout)
    manager: Manager | None = None
    pace: Pace = Pace()
    declared: DeclaredPace | None = None
    withheld: str = ""
    more_room: str = "Give production more replicas"
    differs: str = ""
    at_risk: str = ""


class GitJobState(StrEnum):
    """The Job that a promotion through Git has recorded last."""

    ABSENT = "Absent"
    RUNNING = "Running"
    ENDED = "Ended"


@dataclass(frozen=True, slots=True)
class GitJobEnd:
    """What such a Job came to. `reason` and `message` are for people; `may_pass`: the same may well do later.

    `on_base`: production's branch has it. `declined`: people have closed the pull request with the same evidence.
    """

    succeeded: bool
    reason: str = ""
    message: str = ""
    may_pass: bool = False
    on_base: bool = False
    declined: bool = False
    branch: str = ""
    commit: str = ""
    pull_request: str = ""


@dataclass(frozen=True, slots=True)
class SeenGitJob:
    """`end` is there when it Ended."""

    state: GitJobState = GitJobState.ABSENT
    end: GitJobEnd | None = None


@dataclass(frozen=True, slots=True)
class TargetProblem:
    """Why production cannot be read as a target; becomes condition Stalled."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One study with all its trials. `observations` holds those trials of which something exists or should.

    `ledger` is what earlier studies left when this one began; it has to stay the same as long as the study runs. None
    says that it was not read, and then nothing is searched. `room` is None where it was not asked for: a plan that
    would start a trial then says so. `undisturbed` says why no replica may be missing now; it is read with `room`.
    `traffic` is None where there is no Prometheus; it is read during a promotion.
    """

    study: Study
    trials: tuple[Trial, ...]
    target: TargetState | TargetProblem
    observations: Mapping[str, Observation] = field(default_factory=dict[str, Observation])
    ledger: Ledger | None = EMPTY
    room: Room | None = AMPLE
    undisturbed: str = ""
    traffic: Traffic | None = None
    git_job: SeenGitJob = SeenGitJob()

    def observation(self, trial: Trial) -> Observation:
        """Nothing where nothing was seen."""
        return self.observations.get(trial.name, Observation())
