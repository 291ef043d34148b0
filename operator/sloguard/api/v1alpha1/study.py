"""SLOGuardStudy: what to tune, for which SLOs, at what cost. Written by a person."""

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from .base import API_VERSION, Model, Rule, immutable
from .measurement import Metric
from .meta import ObjectMeta
from .search_space import SearchSpace
from .status import StudyStatus
from .workload import Workload

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"


class TargetKind(StrEnum):
    """Where production runs: a Deployment of the study's namespace, or (local files) a process of this machine."""

    DEPLOYMENT = "Deployment"
    PROCESS = "Process"


def _deployment_named(target: "Target") -> str | None:
    if target.kind is not TargetKind.DEPLOYMENT or (target.name and target.container):
        return None
    return "target of kind Deployment needs name and container; name the Deployment and its vLLM container"


def _process_has_command(target: "Target") -> str | None:
    if (target.kind is TargetKind.PROCESS) == bool(target.command):
        return None
    if target.command:
        return "target.command is for kind Process; remove it, a Deployment brings its own"
    return "target of kind Process needs command, such as [vllm, serve, MODEL]"


class Target(Model):
    """What serves in production today. Its arguments are trial 0, and the winner's replace them."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.kind != 'Deployment' || (has(self.name) && has(self.container))",
            message="'target of kind Deployment needs name and container; name the Deployment and its vLLM container'",
            check=_deployment_named,
        ),
        Rule(
            cel="(self.kind == 'Process') == (has(self.command) && self.command.size() > 0)",
            message=(
                "self.kind == 'Process' ? 'target of kind Process needs command, such as [vllm, serve, MODEL]' : "
                "'target.command is for kind Process; remove it, a Deployment brings its own'"
            ),
            check=_process_has_command,
        ),
    )

    kind: TargetKind = TargetKind.DEPLOYMENT
    name: str | None = Field(default=None, min_length=1, max_length=253)
    container: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    command: list[Annotated[str, Field(max_length=4096)]] | None = Field(default=None, max_length=256)


class SLO(Model):
    """At least `percentile` percent of the requests (of the gaps, for ITL) stay within the limit."""

    metric: Metric
    percentile: int = Field(default=99, ge=1, le=100)
    milliseconds: int = Field(ge=1, le=86_400_000)


class Objective(StrEnum):
    """What is made as large as possible."""

    GOODPUT = "Goodput"


class OptimizerName(StrEnum):
    """How the next candidate is chosen; auto takes what is best at present."""

    AUTO = "auto"
    RANDOM = "random"
    TPE = "tpe"


class Optimizer(Model):
    """The search strategy. With a seed, the same study makes the same choices."""

    name: OptimizerName = OptimizerName.AUTO
    seed: int | None = Field(default=None, ge=0, le=2_147_483_647)


class Budget(Model):
    """When the search ends, whichever comes first. Confirmations are part of it; infrastructure's faults are not."""

    trials: int = Field(default=30, ge=3, le=500)
    gpu_minutes: int = Field(default=240, ge=1, le=1_000_000)
    wall_clock_minutes: int = Field(default=1440, ge=1, le=525_600)


class TrialSettings(Model):
    """How each trial is run."""

    parallelism: int = Field(default=1, ge=1, le=16)
    startup_timeout_seconds: int = Field(default=900, ge=1, le=7200)
    infrastructure_patience_seconds: int = Field(
        default=120, ge=1, le=7200, description="How long an image pull or a free GPU is waited for within an attempt."
    )
    infrastructure_retries: int = Field(default=5, ge=0, le=20)


CRON_FIELD = r"(\*|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?(,(\*|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?)*"
CRON = rf"^{CRON_FIELD}( {CRON_FIELD}){{4}}$"


def _zone_known(window: "Window") -> str | None:
    try:
        ZoneInfo(window.time_zone)
    except (OSError, ValueError):
        return f"timeZone {window.time_zone} is not known; use a name such as Europe/Paris or Etc/UTC"
    return None


class Window(Model):
    """Trials start only within a window; without any, at all times."""

    rules: ClassVar[tuple[Rule, ...]] = (
        # An unknown zone makes the expression itself fail, and the API server then names the zone.
        Rule(
            cel="timestamp('2025-01-01T00:00:00Z').getHours(self.timeZone) >= 0",
            message="'timeZone ' + self.timeZone + ' is not known; use a name such as Europe/Paris or Etc/UTC'",
            check=_zone_known,
        ),
    )

    schedule: str = Field(pattern=CRON, max_length=128, description="Cron, five fields: when the window opens.")
    duration_minutes: int = Field(ge=1, le=10_080)
    time_zone: str = Field(
        default="Etc/UTC", max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
    )


class PromotionMode(StrEnum):
    """What happens with the winner: nothing, a person's approval, or at once."""

    OFF = "Off"
    MANUAL = "Manual"
    AUTOMATIC = "Automatic"


class Strategy(StrEnum):
    """How the new arguments reach production: by the Deployment's own rolling update."""

    ROLLING = "Rolling"


class Verification(Model):
    """How long production is watched after a promotion before it is kept."""

    duration_seconds: int = Field(default=600, ge=0, le=86_400)


class Promotion(Model):
    """From winner to production."""

    mode: PromotionMode = PromotionMode.MANUAL
    approved_trial: str = Field(default="", max_length=63, description="Manual: a person writes the trial's name here.")
    minimum_improvement_percent: int = Field(default=5, ge=0, le=1000)
    confirmations: int = Field(default=3, ge=0, le=10, description="Repeats of the best candidate before it may win.")
    strategy: Strategy = Strategy.ROLLING
    verification: Verification = Verification()


def _budget_leaves_a_search(spec: "StudySpec") -> str | None:
    needed = 3 + spec.promotion.confirmations
    if spec.budget.trials >= needed:
        return None
    return (
        f"budget.trials {spec.budget.trials} leaves no trial to search with: production, defaults and "
        f"{spec.promotion.confirmations} confirmations come first; set it to {needed} or more"
    )


def _slos_distinct(spec: "StudySpec") -> str | None:
    keys = [f"{slo.metric.value} p{slo.percentile}" for slo in spec.slos]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    return f"SLO {', '.join(twice)} is given twice; give one limit for each metric and percentile" if twice else None


INCOMPARABLE = "it would make earlier trials incomparable; create a new study"


class StudySpec(Model):
    """What to tune, for which SLOs, at what cost."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.slos.all(s, self.slos.exists_one(t, t.metric == s.metric && t.percentile == s.percentile))",
            message=(
                "'SLO ' + self.slos.filter(s, !self.slos.exists_one(t, t.metric == s.metric && t.percentile == "
                "s.percentile)).map(s, s.metric + ' p' + string(s.percentile))[0] + "
                "' is given twice; give one limit for each metric and percentile'"
            ),
            check=_slos_distinct,
        ),
        Rule(
            cel="self.budget.trials >= 3 + self.promotion.confirmations",
            message=(
                "'budget.trials ' + string(self.budget.trials) + ' leaves no trial to search with: production, "
                "defaults and ' + string(self.promotion.confirmations) + ' confirmations come first; set it to ' + "
                "string(3 + self.promotion.confirmations) + ' or more'"
            ),
            check=_budget_leaves_a_search,
        ),
        immutable("target", INCOMPARABLE),
        immutable("slos", INCOMPARABLE),
        immutable("objective", INCOMPARABLE),
        immutable("workload", INCOMPARABLE),
        immutable("searchSpace", INCOMPARABLE),
        immutable("optimizer", INCOMPARABLE),
    )

    target: Target
    slos: list[SLO] = Field(min_length=1, max_length=8)
    objective: Objective = Objective.GOODPUT
    workload: Workload
    search_space: SearchSpace = SearchSpace()
    optimizer: Optimizer = Optimizer()
    budget: Budget = Budget()
    trial: TrialSettings = TrialSettings()
    windows: list[Window] = Field(default=[], max_length=16)
    suspend: bool = False
    promotion: Promotion = Promotion()


def _name_fits(study: "Study") -> str | None:
    name = study.metadata.name
    if len(name) <= 40 and re.match(DNS_LABEL, name):
        return None
    return (
        f"metadata.name {name} cannot head its trials' names; "
        "use at most 40 lower-case letters, digits and dashes, a letter first"
    )


class Study(Model):
    """A search for better vLLM settings."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"self.metadata.name.size() <= 40 && self.metadata.name.matches('{DNS_LABEL}')",
            message=(
                "'metadata.name ' + self.metadata.name + ' cannot head its trials\\' names; "
                "use at most 40 lower-case letters, digits and dashes, a letter first'"
            ),
            check=_name_fits,
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
