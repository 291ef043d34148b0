"""What the system says about a study."""

from enum import StrEnum

from pydantic import AwareDatetime, Field

from .base import ObservedModel
from .conditions import CONDITION_MAP, StatusCondition
from .measurement import SLOResult
from .trial import Crash, Parameters


class StudyPhase(StrEnum):
    """Where a study stands."""

    PENDING = "Pending"
    BASELINING = "Baselining"
    SEARCHING = "Searching"
    CONFIRMING = "Confirming"
    AWAITING_APPROVAL = "AwaitingApproval"
    PROMOTING = "Promoting"
    VERIFYING = "Verifying"
    COMPLETED = "Completed"
    SUSPENDED = "Suspended"
    FAILED = "Failed"


class TrialCounts(ObservedModel):
    """Trials by outcome; an attempt that infrastructure ended counts as Infrastructure only."""

    total: int = Field(default=0, description="That count against the budget.")
    running: int = 0
    feasible: int = 0
    infeasible: int = 0
    crashed: int = 0
    infrastructure: int = 0


class Scored(ObservedModel):
    """A configuration with its figure."""

    trial: str
    parameters: Parameters = {}
    goodput_tokens_per_second: int
    objective_value: int = Field(
        default=0, description="In the objective's unit: tokens/s, tokens/s a GPU, or requests a minute."
    )
    slos_met: bool = False


class Recommendation(Scored):
    """The winner, with the exact arguments to use."""

    arguments: list[str] = Field(default=[], max_length=1024)
    improvement_percent: int | None = Field(
        default=None,
        description="Against the better baseline that it is not itself; absent where that had no goodput.",
    )
    improvement_low_percent: int | None = Field(
        default=None,
        description="The lower end of its 95 % confidence interval, from repeats of both, all looks allowed for.",
    )
    improvement_high_percent: int | None = Field(
        default=None, description="The upper end; absent where the baseline may as well serve nothing."
    )
    error_percent: int | None = Field(
        default=None,
        description="The chance allowed that it is not better than both baselines by the minimum; "
        "absent where nothing was confirmed.",
    )
    confirmations: int = 0
    soaked_seconds: int = Field(
        default=0,
        description="For so long it outlived its worst-case load; 0 where it was not soaked.",
    )
    reason: str = Field(default="", max_length=1024)
    choice: str = Field(default="", max_length=1024, description="Why this one and no other of the front.")


class FrontPoint(ObservedModel):
    """A configuration of the front: none gives more without being slower, none is faster without giving less."""

    trial: str
    objective_value: int = Field(description="Of its repeats where there are any, in the objective's unit.")
    limit_used_percent: list[int] = Field(
        default=[], max_length=8, description="Measured over limit for each SLO, in the study's order."
    )


class RateNoise(ObservedModel):
    """How far goodput of identical runs was apart at one rate: a standard deviation in thousandths of the mean."""

    rate_percent: int
    permille: int = Field(description="Over all configurations that were repeated.")
    production_permille: int | None = Field(default=None, description="Of production alone.")
    runs: int = Field(default=0, description="That this was taken from.")


class PromotionState(StrEnum):
    """How far a promotion has come. Declined: people closed its pull request. Halted needs a person."""

    PLANNED = "Planned"
    CANARY = "Canary"
    ANALYSING = "Analysing"
    PROPOSING = "Proposing"
    PROPOSED = "Proposed"
    PROMOTING = "Promoting"
    VERIFYING = "Verifying"
    PROMOTED = "Promoted"
    REVERTING = "Reverting"
    ROLLING_BACK = "RollingBack"
    RESTORING = "Restoring"
    ROLLED_BACK = "RolledBack"
    DECLINED = "Declined"
    HALTED = "Halted"


class ServedTraffic(ObservedModel):
    """What live traffic was like in a window, by vLLM's own histograms."""

    requests: int = Field(description="That ended, in whatever way.")
    requests_per_minute: int
    failed: int = Field(default=0, description="That ended as aborted, in error, or not at all.")
    slos: list[SLOResult] = Field(default=[], max_length=8)


class GitJob(ObservedModel):
    """The last Job that was to bring something to the repository, STUDY-git-NUMBER; recorded before it is made."""

    number: int = Field(description="From 1, over the whole promotion.")
    generation: int | None = Field(default=None, description="The study's when it was recorded.")
    ended_at: AwareDatetime | None = Field(default=None, description="When its end was seen.")
    failures: int = Field(default=0, description="Of so many Jobs in a row, this one included.")
    reason: str = Field(default="", max_length=64, description="Of the last failure.")
    message: str = Field(default="", max_length=1024)
    needs_person: bool = Field(default=False, description="The same would fail again before somebody mends something.")


class GitStatus(ObservedModel):
    """What a promotion has come to in its repository."""

    repository: str = Field(default="", max_length=1024)
    branch: str = Field(default="", max_length=200, description="That the commit is on.")
    commit: str = Field(default="", max_length=64, description="That brings the new arguments.")
    pull_request: str = Field(default="", max_length=1024, description="Its address.")
    on_base: bool = Field(default=False, description="Production's branch has the arguments of the last Job.")
    arrived_at: AwareDatetime | None = Field(
        default=None, description="When the new arguments were first seen in production."
    )
    revert_commit: str = Field(default="", max_length=64, description="That brings the previous arguments back.")
    revert_pull_request: str = Field(default="", max_length=1024)
    job: GitJob


class RolloutPace(ObservedModel):
    """At which pace production exchanges its pods, as it is declared: numbers, or shares of the replicas in percent."""

    max_surge: str = Field(max_length=16)
    max_unavailable: str = Field(max_length=16)
    min_ready_seconds: int = 0


class PreviousPace(ObservedModel):
    """The pace that production had before the operator set one of its own, and whose it was."""

    pace: RolloutPace
    manager: str = Field(default="", max_length=128, description="Of these fields; absent where they were defaults.")


class PromotionStatus(ObservedModel):
    """A state machine of its own; what is needed to go on or back is recorded before production is touched."""

    state: PromotionState
    trial: str
    parameters: Parameters = {}
    arguments: list[str] = Field(default=[], max_length=1024)
    previous_arguments: list[str] = Field(default=[], max_length=1024)
    previous_ready: bool = Field(default=True, description="Whether all of production was ready before it was touched.")
    started_at: AwareDatetime
    changed_at: AwareDatetime = Field(description="When this state was entered.")
    message: str = Field(default="", max_length=1024)
    before: ServedTraffic | None = Field(
        default=None,
        description="Production's live traffic before it was changed, or beside the canary: what is held against.",
    )
    since: ServedTraffic | None = Field(default=None, description="Live traffic on the new arguments.")
    crash: Crash | None = Field(default=None, description="How a server with the new arguments failed in production.")
    git: GitStatus | None = Field(default=None, description="Mode Git; absent where the operator patches production.")
    pace: RolloutPace | None = Field(default=None, description="Set by the operator for as long as this goes on.")
    previous_pace: PreviousPace | None = Field(default=None, description="To be given back before any end.")
    ends_as: PromotionState | None = Field(default=None, description="Restoring: what follows.")


class SeenLengths(ObservedModel):
    """So many requests had from min to max tokens: a bucket of vLLM's histogram."""

    min: int
    max: int
    requests: int


class ProductionWorkload(ObservedModel):
    """What production was asked for in a window: taken once, so that every trial is loaded alike."""

    since: AwareDatetime
    until: AwareDatetime
    requests_per_minute: int
    prompt_tokens: list[SeenLengths] = Field(default=[], max_length=64)
    output_tokens: list[SeenLengths] = Field(default=[], max_length=64)


class TargetStatus(ObservedModel):
    """Production as it was when the trials that count were begun."""

    image: str = Field(default="", max_length=1024)
    serving_hash: str = Field(default="", max_length=64, description="Of image, environment, resources, nodes.")
    first_trial: int = Field(
        default=0, description="Earlier ones are of production before somebody changed it, and no longer count."
    )


class KnowledgeStatus(ObservedModel):
    """What the search begins with of earlier studies; it stays the same as long as the study runs."""

    taken_at: AwareDatetime
    records: int = Field(default=0, description="Trials of earlier studies, in the ConfigMap named below.")
    studies: int = Field(default=0, description="That these are of.")
    passed_over: int = Field(default=0, description="Lines of ledgers that are no records of trials.")
    config_map: str = Field(
        default="", max_length=253, description="Owned by the study; absent where there is nothing."
    )


class HistoryPart(ObservedModel):
    """Finished trials whose objects were removed, in a ConfigMap that counts as long as its text has this digest."""

    config_map: str = Field(max_length=253)
    sha256: str = Field(max_length=64)
    trials: int = 0


class StudyStatus(ObservedModel):
    """Written once at the end of each reconcile."""

    observed_generation: int | None = None
    phase: StudyPhase = StudyPhase.PENDING
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    conditions: list[StatusCondition] = Field(default=[], max_length=32, json_schema_extra=CONDITION_MAP)
    trials: TrialCounts = TrialCounts()
    gpu_minutes: int = 0
    saved_gpu_minutes: int = Field(default=0, description="By ending hopeless rates early.")
    comparison_rate_percent: int | None = Field(default=None, description="The rate at which candidates are compared.")
    production_workload: ProductionWorkload | None = Field(
        default=None, description="Pattern FromProduction: rate and lengths that every trial is loaded with."
    )
    target: TargetStatus | None = None
    knowledge: KnowledgeStatus | None = None
    history: list[HistoryPart] = Field(default=[], max_length=64)
    baseline: Scored | None = Field(default=None, description="The better of production and vLLM's defaults.")
    best: Scored | None = None
    front: list[FrontPoint] = Field(
        default=[],
        max_length=10,
        description="Of goodput against latency, among what holds the SLOs where anything does.",
    )
    recommendation: Recommendation | None = None
    noise: list[RateNoise] = Field(default=[], max_length=8, description="From repeats, once there are any.")
    promotion: PromotionStatus | None = None
