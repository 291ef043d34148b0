"""SLOGuardStudy: what to tune, for which SLOs, at what cost. Written by a person."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .arrival import ArrivalPattern
from .base import API_VERSION, Model
from .git import GitPromotion
from .measurement import Metric
from .meta import ObjectMeta
from .rules import Rule, cel_matches, cluster_only, immutable, matches, matching
from .search_space import SearchSpace
from .status import StudyStatus
from .trial import MOST_SOAK_SECONDS
from .window import Window
from .workload import Workload

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


TargetName = Annotated[
    str,
    Field(max_length=253),
    matching(
        rf"{LABEL}(\.{LABEL})*", '"%s" cannot be the name of such an object; use lower-case letters, digits, - and .'
    ),
]
ContainerName = Annotated[
    str,
    Field(max_length=63),
    matching(LABEL, '"%s" cannot be the name of a container; use lower-case letters, digits and -'),
]


class TargetKind(StrEnum):
    """Where production runs: an object of the study's namespace, or (local files) a process of this machine.

    LeaderWorkerSet: of groups of one pod; its definition has to be installed.
    """

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    LEADER_WORKER_SET = "LeaderWorkerSet"
    PROCESS = "Process"


def _target_unnamed(target: "Target") -> tuple[object, ...] | None:
    named = target.name and target.container
    return None if target.kind is TargetKind.PROCESS or named else (target.kind.value, target.kind.value)


def _command_missing(target: "Target") -> tuple[object, ...] | None:
    return () if target.kind is TargetKind.PROCESS and not target.command else None


def _command_unused(target: "Target") -> tuple[object, ...] | None:
    return None if target.kind is TargetKind.PROCESS or not target.command else (target.kind.value,)


class Target(Model):
    """What serves in production today. Its arguments are trial 0, and the winner's replace them."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.kind == 'Process' || (has(self.name) && has(self.container))",
            message="target of kind %s needs name and container; name the %s and its vLLM container",
            values=("self.kind", "self.kind"),
            broken=_target_unnamed,
        ),
        cluster_only(
            cel="self.kind != 'Process'",
            message="kind Process is for local files; give kind Deployment (or another) with name and container, "
            "or run this study on a machine of its own with: sloguard tune FILE",
            path=".kind",
        ),
        Rule(
            cel="self.kind != 'Process' || (has(self.command) && self.command.size() > 0)",
            message="target of kind Process needs command, such as [vllm, serve, MODEL]",
            broken=_command_missing,
            path=".command",
        ),
        Rule(
            cel="self.kind == 'Process' || !has(self.command) || self.command.size() == 0",
            message="target.command is for kind Process; remove it, a %s brings its own",
            values=("self.kind",),
            broken=_command_unused,
            path=".command",
        ),
    )

    kind: TargetKind = TargetKind.DEPLOYMENT
    name: TargetName | None = None
    container: ContainerName | None = None
    command: list[Annotated[str, Field(max_length=4096)]] | None = Field(default=None, max_length=256)


class SLO(Model):
    """At least `percentile` percent of the requests (of the gaps, for ITL) stay within the limit."""

    metric: Metric
    percentile: int = Field(default=99, ge=1, le=100)
    milliseconds: int = Field(ge=1, le=86_400_000)


class Objective(StrEnum):
    """What is made as large as possible.

    Goodput: tokens/s of requests that met every SLO, at the rate of comparison. GoodputPerGPU: the same for each GPU.
    Capacity: the highest rate of the sweep at which the SLOs hold, in requests a minute.
    """

    GOODPUT = "Goodput"
    GOODPUT_PER_GPU = "GoodputPerGPU"
    CAPACITY = "Capacity"


class Measurement(StrEnum):
    """What a trial is judged by.

    LoadGenerator: by requests of the study's own, timed where they are sent. Prometheus: by what vLLM's histograms say
    of live traffic that a gateway sends to Service `STUDY-live`; figures are then lower bounds of intervals.
    """

    LOAD_GENERATOR = "LoadGenerator"
    PROMETHEUS = "Prometheus"


class OptimizerName(StrEnum):
    """How the next candidate is chosen; auto takes what is best at present."""

    AUTO = "auto"
    RANDOM = "random"
    TPE = "tpe"
    TBA = "tba"
    TBA_TPE = "tba-tpe"
    CONSTRAINED_BO = "constrained-bo"
    MARGIN_BO = "margin-bo"


class Optimizer(Model):
    """The search strategy. With a seed, the same study makes the same choices."""

    name: OptimizerName = OptimizerName.AUTO
    seed: int | None = Field(default=None, ge=0, le=2_147_483_647)


class Budget(Model):
    """When a study ends, whichever comes first, trials under way included. Infrastructure's faults cost no trial."""

    trials: int = Field(default=30, ge=3, le=500)
    gpu_minutes: int = Field(default=240, ge=1, le=1_000_000)
    wall_clock_minutes: int = Field(default=1440, ge=1, le=525_600)
    stop_early: bool = Field(
        default=True,
        description="End the search when nothing left is likely to be better by promotion.minimumImprovementPercent: "
        "a candidate serves all that is offered, or the optimizer expects hardly any chance of it.",
    )


class TrialSettings(Model):
    """How each trial is run."""

    parallelism: int = Field(default=1, ge=1, le=16)
    startup_timeout_seconds: int = Field(default=900, ge=1, le=7200)
    standstill_seconds: int = Field(
        default=25,
        ge=1,
        le=3600,
        description="Requests are open and no token nor step of the engine is seen for so long: a hang, which ends the "
        "trial. Raise it where one step can take longer: large batches of prompts on a small GPU.",
    )
    infrastructure_patience_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="How long an attempt waits for an image, a volume or a free GPU. Absent: as long as is usual for "
        "what it waits for (operator/README.md). Waiting in a queue does not count.",
    )
    infrastructure_retries: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Further attempts of a trial that failed for reasons other than its configuration. Absent: as "
        "many as are worth it for each reason (operator/README.md).",
    )


class PromotionMode(StrEnum):
    """What happens with the winner: nothing, a person's approval, at once, or by the repository of production."""

    OFF = "Off"
    MANUAL = "Manual"
    AUTOMATIC = "Automatic"
    GIT = "Git"


class Strategy(StrEnum):
    """How the new arguments reach production.

    Rolling: by production's own rolling update. Canary: first on one more pod that shares production's traffic,
    which needs a spare GPU, and Prometheus to compare the two.
    """

    ROLLING = "Rolling"
    CANARY = "Canary"


class Canary(Model):
    """How long the canary shares production's traffic before it is judged."""

    warmup_seconds: int = Field(default=30, ge=0, le=3_600, description="From its readiness; not judged.")
    duration_seconds: int = Field(default=300, ge=30, le=86_400)


class Verification(Model):
    """How long production is watched after a promotion before it is kept."""

    duration_seconds: int = Field(default=600, ge=0, le=86_400)


def _approval_unused(promotion: "Promotion") -> tuple[object, ...] | None:
    unused = promotion.approved_trial and promotion.mode is not PromotionMode.MANUAL
    return (promotion.approved_trial, promotion.mode.value) if unused else None


def _git_unsaid(promotion: "Promotion") -> tuple[object, ...] | None:
    return () if promotion.mode is PromotionMode.GIT and promotion.git is None else None


def _canary_by_git(promotion: "Promotion") -> tuple[object, ...] | None:
    by_canary = promotion.strategy is Strategy.CANARY
    return () if promotion.mode is PromotionMode.GIT and by_canary else None


class Promotion(Model):
    """From winner to production."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.approvedTrial == '' || self.mode == 'Manual'",
            message="approvedTrial %s has no effect in mode %s; set mode to Manual or clear approvedTrial",
            values=("self.approvedTrial", "self.mode"),
            broken=_approval_unused,
            path=".approvedTrial",
        ),
        Rule(
            cel="self.mode != 'Git' || has(self.git)",
            message="mode Git needs git: repository, file and secretRef, and pullRequest or base",
            broken=_git_unsaid,
            path=".git",
        ),
        Rule(
            cel="self.mode != 'Git' || self.strategy != 'Canary'",
            message="strategy Canary patches production, which mode Git never does; set strategy to Rolling",
            broken=_canary_by_git,
            path=".strategy",
        ),
    )

    mode: PromotionMode = PromotionMode.MANUAL
    approved_trial: str = Field(default="", max_length=63, description="Manual: a person writes the trial's name here.")
    minimum_improvement_percent: int = Field(default=5, ge=0, le=1000)
    confirmations: int = Field(
        default=3,
        ge=0,
        le=10,
        description="Most repeats of a candidate before it may win, with production and the defaults repeated beside "
        "it. A winner has two or more; 0 takes the search's figure for it, and nothing is shown.",
    )
    soak_seconds: int = Field(
        default=300,
        ge=0,
        le=MOST_SOAK_SECONDS,
        description="Before a winner is recommended, or another trial promoted, it has to outlive its worst-case load "
        "for so long: the longest requests, a full batch. Costs GPU-minutes, and no trial of the budget; 0: no soak.",
    )
    strategy: Strategy = Strategy.ROLLING
    allow_downtime: bool = Field(
        default=False,
        description="Promote also where production's update strategy ends its last replica before a new one is ready.",
    )
    canary: Canary = Canary()
    verification: Verification = Verification()
    git: GitPromotion | None = None


class Knowledge(StrEnum):
    """Whether what was learnt of memory and crashes is shared between the studies of a namespace.

    Share: the study begins with what others left, and leaves its own. Isolated: neither.
    """

    SHARE = "Share"
    ISOLATED = "Isolated"


class OnTargetChange(StrEnum):
    """What follows when somebody changes production's image, arguments or environment while the study searches.

    Stall: trials end, and the study waits for production to be as it was. Restart: what was measured no longer counts,
    and the search begins anew with both baselines, within the same budget.
    """

    STALL = "Stall"
    RESTART = "Restart"


def _no_trial_left(spec: "StudySpec") -> tuple[object, ...] | None:
    confirmations = spec.promotion.confirmations
    least = 3 + confirmations + (2 if confirmations else 0)
    return None if spec.budget.trials >= least else (spec.budget.trials, confirmations, least)


def _slo_twice(spec: "StudySpec") -> tuple[object, ...] | None:
    keys = [(slo.metric.value, slo.percentile) for slo in spec.slos]
    return next((key for key in keys if keys.count(key) > 1), None)


def _load_seconds(spec: "StudySpec") -> int:
    return spec.workload.warmup_seconds + spec.workload.duration_seconds


def _no_gpu_time_left(spec: "StudySpec") -> tuple[object, ...] | None:
    needed_seconds = 3 * _load_seconds(spec) + spec.promotion.soak_seconds
    enough = spec.budget.gpu_minutes * 60 >= needed_seconds
    return None if enough else (spec.budget.gpu_minutes, needed_seconds)


def _no_time_left(spec: "StudySpec") -> tuple[object, ...] | None:
    needed_seconds = _load_seconds(spec) + spec.promotion.soak_seconds
    enough = spec.budget.wall_clock_minutes * 60 >= needed_seconds
    return None if enough else (spec.budget.wall_clock_minutes, needed_seconds)


RATELESS = frozenset({ArrivalPattern.CLOSED_LOOP, ArrivalPattern.LIVE})


def _no_curve(spec: "StudySpec") -> tuple[object, ...] | None:
    if spec.workload.arrival.pattern is ArrivalPattern.LIVE:
        return None
    short = spec.objective is Objective.CAPACITY and len(spec.workload.sweep_percent) < LEAST_CURVE
    return (spec.workload.sweep_percent,) if short else None


def _capacity_without_rate(spec: "StudySpec") -> tuple[object, ...] | None:
    pattern = spec.workload.arrival.pattern
    return (pattern.value,) if spec.objective is Objective.CAPACITY and pattern in RATELESS else None


def _watched(spec: "StudySpec") -> bool:
    return spec.measurement is Measurement.PROMETHEUS


def _watched_load(spec: "StudySpec") -> tuple[object, ...] | None:
    pattern = spec.workload.arrival.pattern
    return (pattern.value,) if _watched(spec) and pattern is not ArrivalPattern.LIVE else None


def _unwatched_traffic(spec: "StudySpec") -> tuple[object, ...] | None:
    return () if not _watched(spec) and spec.workload.arrival.pattern is ArrivalPattern.LIVE else None


def _watched_process(spec: "StudySpec") -> tuple[object, ...] | None:
    return () if _watched(spec) and spec.target.kind is TargetKind.PROCESS else None


def _watched_together(spec: "StudySpec") -> tuple[object, ...] | None:
    return (spec.trial.parallelism,) if _watched(spec) and spec.trial.parallelism > 1 else None


_LEAST_TRIALS = "(3 + self.promotion.confirmations + (self.promotion.confirmations > 0 ? 2 : 0))"
_LOAD_SECONDS = "(self.workload.warmupSeconds + self.workload.durationSeconds)"
_GPU_SECONDS = f"(3 * {_LOAD_SECONDS} + self.promotion.soakSeconds)"
_WALL_CLOCK_SECONDS = f"({_LOAD_SECONDS} + self.promotion.soakSeconds)"
_SAME_SLO = "self.slos.exists_one(t, t.metric == s.metric && t.percentile == s.percentile)"
LEAST_CURVE = 3
"""Rates that make a curve from which a capacity can be read."""

INCOMPARABLE = "it would make earlier trials incomparable; create a new study"


def _queue_of_shares(spec: "StudySpec") -> tuple[object, ...] | None:
    queued = any(slo.metric is Metric.QUEUE_TIME for slo in spec.slos)
    return (spec.workload.generators,) if queued and spec.workload.generators > 1 else None


class StudySpec(Model):
    """What to tune, for which SLOs, at what cost."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"self.slos.all(s, {_SAME_SLO})",
            message="SLO %s p%s is given twice; give one limit for each metric and percentile",
            values=(f"self.slos.filter(s, !{_SAME_SLO})[0].metric", f"self.slos.filter(s, !{_SAME_SLO})[0].percentile"),
            broken=_slo_twice,
            path=".slos",
        ),
        Rule(
            cel=f"self.budget.trials >= {_LEAST_TRIALS}",
            message="budget.trials %s leaves no trial to search with: production and defaults, %s confirmations and a "
            "repeat of both baselines beside them come first; set it to %s or more",
            values=("self.budget.trials", "self.promotion.confirmations", _LEAST_TRIALS),
            broken=_no_trial_left,
            path=".budget.trials",
        ),
        Rule(
            cel=f"self.budget.gpuMinutes * 60 >= {_GPU_SECONDS}",
            message="budget.gpuMinutes %s is less than the %s s of load (warmupSeconds + durationSeconds) on "
            "production, defaults and one candidate, and of its soak (promotion.soakSeconds); raise it or shorten them",
            values=("self.budget.gpuMinutes", _GPU_SECONDS),
            broken=_no_gpu_time_left,
            path=".budget.gpuMinutes",
        ),
        Rule(
            cel=f"self.budget.wallClockMinutes * 60 >= {_WALL_CLOCK_SECONDS}",
            message="budget.wallClockMinutes %s is less than the %s s of load (warmupSeconds + durationSeconds) of one "
            "trial and of its soak (promotion.soakSeconds); raise it or shorten them",
            values=("self.budget.wallClockMinutes", _WALL_CLOCK_SECONDS),
            broken=_no_time_left,
            path=".budget.wallClockMinutes",
        ),
        Rule(
            cel="self.objective != 'Capacity' || self.workload.arrival.pattern == 'Live' || "
            f"self.workload.sweepPercent.size() >= {LEAST_CURVE}",
            message="objective Capacity is read off a curve, and workload.sweepPercent %s is none; "
            f"give {LEAST_CURVE} rates or more, from one that is surely served to one that surely is not",
            values=("self.workload.sweepPercent",),
            broken=_no_curve,
            path=".workload.sweepPercent",
        ),
        Rule(
            cel="!has(self.workload.generators) || self.workload.generators == 1 || "
            "!self.slos.exists(s, s.metric == 'QueueTime')",
            message="a QueueTime SLO is held by the server's figures, which workload.generators %s cannot share; "
            "set workload.generators to 1 or remove the SLO",
            values=("self.workload.generators",),
            broken=_queue_of_shares,
            path=".workload.generators",
        ),
        Rule(
            cel="self.objective != 'Capacity' || !(self.workload.arrival.pattern in ['ClosedLoop', 'Live'])",
            message="objective Capacity is a rate, and pattern %s offers none; choose another of the two",
            values=("self.workload.arrival.pattern",),
            broken=_capacity_without_rate,
            path=".objective",
        ),
        Rule(
            cel="self.measurement != 'Prometheus' || self.workload.arrival.pattern == 'Live'",
            message="measurement Prometheus watches live traffic, and workload.arrival.pattern %s would send requests; "
            "set the pattern to Live, or measurement to LoadGenerator",
            values=("self.workload.arrival.pattern",),
            broken=_watched_load,
            path=".measurement",
        ),
        Rule(
            cel="self.measurement == 'Prometheus' || self.workload.arrival.pattern != 'Live'",
            message="workload.arrival.pattern Live sends nothing, and measurement LoadGenerator needs requests; set "
            "measurement to Prometheus, or choose another pattern",
            broken=_unwatched_traffic,
            path=".measurement",
        ),
        Rule(
            cel="self.measurement != 'Prometheus' || self.target.kind != 'Process'",
            message="measurement Prometheus needs a cluster, whose operator has a Prometheus, and target.kind is "
            "Process; set target.kind to Deployment, or remove measurement. Servers that run already are held against "
            "the SLOs by: sloguard measure",
            broken=_watched_process,
            path=".measurement",
        ),
        Rule(
            cel="self.measurement != 'Prometheus' || self.trial.parallelism == 1",
            message="trial.parallelism is %s, but with measurement Prometheus live traffic goes to one trial at a "
            "time; set it to 1",
            values=("self.trial.parallelism",),
            broken=_watched_together,
            path=".trial.parallelism",
        ),
        immutable("target", INCOMPARABLE),
        immutable("slos", INCOMPARABLE),
        immutable("objective", INCOMPARABLE),
        immutable("workload", INCOMPARABLE),
        immutable("measurement", INCOMPARABLE),
        immutable("searchSpace", INCOMPARABLE),
        immutable("optimizer", INCOMPARABLE),
    )

    target: Target
    slos: list[SLO] = Field(min_length=1, max_length=8)
    objective: Objective = Objective.GOODPUT
    measurement: Measurement = Measurement.LOAD_GENERATOR
    workload: Workload
    search_space: SearchSpace = SearchSpace()
    optimizer: Optimizer = Optimizer()
    budget: Budget = Budget()
    trial: TrialSettings = TrialSettings()
    knowledge: Knowledge = Knowledge.SHARE
    on_target_change: OnTargetChange = OnTargetChange.STALL
    history_limit: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="How many finished trials are kept as objects, beside those that baselines, repeats, front and "
        "recommendation rest on. Some forty more may be there; older ones are kept in ConfigMaps of the study.",
    )
    windows: list[Window] = Field(default=[], max_length=16)
    suspend: bool = False
    promotion: Promotion = Promotion()


HEADS_TRIALS = "[a-z]([-a-z0-9]{0,38}[a-z0-9])?"


def _name_too_long(study: "Study") -> tuple[object, ...] | None:
    return None if matches(study.metadata.name, HEADS_TRIALS) else (study.metadata.name,)


def _not_our_trial(study: "Study") -> tuple[object, ...] | None:
    approved, name = study.spec.promotion.approved_trial, study.metadata.name
    return (approved, name) if approved and not approved.startswith(f"{name}-") else None


class Study(Model):
    """A search for better vLLM settings."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=cel_matches("self.metadata.name", HEADS_TRIALS),
            message="metadata.name %s cannot head its trials' names; "
            "use at most 40 lower-case letters, digits and dashes, a letter first",
            values=("self.metadata.name",),
            broken=_name_too_long,
        ),
        Rule(
            cel="self.spec.promotion.approvedTrial == '' || "
            "self.spec.promotion.approvedTrial.startsWith(self.metadata.name + '-')",
            message="promotion.approvedTrial %s is no trial of study %s; name one of kubectl get slotrial",
            values=("self.spec.promotion.approvedTrial", "self.metadata.name"),
            broken=_not_our_trial,
            path=".spec.promotion.approvedTrial",
        ),
    )

    api_version: Literal["sloguard.dev/v1alpha1"] = API_VERSION
    kind: Literal["SLOGuardStudy"] = "SLOGuardStudy"
    metadata: ObjectMeta
    spec: StudySpec
    status: StudyStatus = StudyStatus()

    @property
    def name(self) -> str:
        return self.metadata.name
