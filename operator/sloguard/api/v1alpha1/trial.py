"""SLOGuardTrial: one start of one candidate, written by the system."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from .base import API_VERSION, Model, ObservedModel
from .conditions import CONDITION_MAP, StatusCondition
from .knobs import KnobName
from .measurement import RateMeasurement, ServerActivity
from .meta import ObjectMeta
from .rules import Rule, immutable
from .search_space import Text

FIRST_SEARCHED = 2
"""Trial 0 is production and trial 1 vLLM's defaults, both for the first time."""

Parameters = dict[KnobName, Text]


MOST_SOAK_SECONDS = 3600
"""As long as a rate of a load may last."""


class Purpose(StrEnum):
    """Why a trial is made. Of a Soak only its end is judged: whether the server outlived its worst-case load."""

    PRODUCTION = "Production"
    DEFAULT = "Default"
    SEARCH = "Search"
    CONFIRM = "Confirm"
    SOAK = "Soak"
    CANARY = "Canary"


class TrialPhase(StrEnum):
    """How far a trial has come."""

    PENDING = "Pending"
    STARTING = "Starting"
    LOADING = "Loading"
    FINISHED = "Finished"


class Outcome(StrEnum):
    """What a trial says about its configuration; Infrastructure says nothing about it. Cancelled was not measured."""

    FEASIBLE = "Feasible"
    INFEASIBLE = "Infeasible"
    CRASHED = "Crashed"
    INFRASTRUCTURE = "Infrastructure"
    CANCELLED = "Cancelled"


class Fault(StrEnum):
    """Whose fault a crash is. Only the configuration's teaches the optimizer."""

    CONFIGURATION = "Configuration"
    INFRASTRUCTURE = "Infrastructure"


class CrashClass(StrEnum):
    """What went wrong; `sloguard.domain.crash` says whose fault each is and how it is recognised."""

    INVALID_ARGUMENTS = "InvalidArguments"
    GPU_MEMORY_REQUEST_TOO_HIGH = "GPUMemoryRequestTooHigh"
    NO_KV_CACHE_ROOM = "NoKVCacheRoom"
    KV_CACHE_BELOW_ONE_REQUEST = "KVCacheBelowOneRequest"
    CUDA_OUT_OF_MEMORY = "CUDAOutOfMemory"
    HOST_OUT_OF_MEMORY = "HostOutOfMemory"
    UNSUPPORTED_QUANTIZATION = "UnsupportedQuantization"
    STARTUP_TIMEOUT = "StartupTimeout"
    DIED_UNDER_LOAD = "DiedUnderLoad"
    HANG = "Hang"
    GPU_FAULT = "GPUFault"
    COLLECTIVE_FAILURE = "CollectiveFailure"
    UNKNOWN = "Unknown"
    GPU_MEMORY_TAKEN = "GPUMemoryTaken"
    IMAGE_PULL = "ImagePull"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA = "Quota"
    MOUNT = "Mount"
    SANDBOX = "Sandbox"
    PROBE_KILLED = "ProbeKilled"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    GPU_LOST = "GPULost"
    MODEL_DOWNLOAD = "ModelDownload"
    PORT_IN_USE = "PortInUse"
    SHARED_MEMORY_TOO_SMALL = "SharedMemoryTooSmall"
    LOAD_GENERATOR = "LoadGenerator"
    LIVE_TRAFFIC = "LiveTraffic"


class CrashPhase(StrEnum):
    """When a server ran out of GPU memory or died."""

    LOAD = "Load"
    PROFILE = "Profile"
    GRAPH_CAPTURE = "GraphCapture"
    SAMPLER = "Sampler"
    SERVING = "Serving"


class SettingBound(ObservedModel):
    """What a setting of the server has to keep to, everything else being as it was."""

    setting: str = Field(max_length=64, description="As vLLM's argument, with underscores.")
    at_least: int | None = Field(default=None, ge=0, le=1_000_000_000)
    at_most: int | None = Field(default=None, ge=0, le=1_000_000_000)
    at_most_permille: int | None = Field(default=None, ge=0, le=1000, description="Of a setting that is a share.")


Bytes = Annotated[int, Field(ge=0, le=1 << 50)]


class Proof(ObservedModel):
    """The figures in what a crash's message proves; what it does not say is absent. Of several GPUs, of one of them."""

    bounds: list[SettingBound] = Field(default=[], max_length=8)
    available_kv_cache_bytes: int | None = Field(
        default=None,
        ge=-(1 << 50),
        le=1 << 50,
        description="What was left for it; below 0 where weights left less.",
    )
    needed_kv_cache_bytes: Bytes | None = Field(default=None, description="By one request of the greatest length.")
    short_kv_cache_bytes: Bytes | None = Field(default=None, description="So much more KV cache had to be there.")
    cuda_graph_bytes: Bytes | None = Field(default=None, description="What CUDA graphs were to take beside it.")
    free_device_memory_bytes: Bytes | None = None
    device_memory_bytes: Bytes | None = None
    unallocated_bytes: Bytes | None = Field(default=None, description="So much more could not be allocated.")
    needed_shared_memory_bytes: Bytes | None = None
    gpus: int | None = Field(default=None, ge=0, le=1_000_000_000, description="That were there.")


class Crash(ObservedModel):
    """The verdict on a server that did not serve."""

    class_: CrashClass = Field(validation_alias="class", serialization_alias="class")
    fault: Fault
    phase: CrashPhase | None = None
    cause: str = Field(
        default="", max_length=1024, description="The first root cause: a line of the log, or what the node said."
    )
    line: int | None = Field(default=None, description="Of the log, from 1.")
    limit: str | None = Field(default=None, max_length=256, description="What the message proves.")
    proof: Proof | None = Field(default=None, description="The figures of that.")
    activity: ServerActivity | None = Field(default=None, description="Of a server that had become ready.")
    confidence_percent: int = Field(default=0, ge=0, le=100)


class Margins(ObservedModel):
    """How far a server that started was from failing, by its own log and by its GPUs."""

    available_kv_cache_bytes: int | None = None
    kv_cache_tokens: int | None = None
    model_weights_bytes: int | None = None
    cuda_graph_bytes: int | None = None
    least_free_device_memory_bytes: int | None = Field(
        default=None,
        description="The least that a GPU of the server had free while the load ran, whoever held the rest. From "
        "samples of NVML or DCGM, so that a short peak can be missed; absent where neither could be asked.",
    )
    device_memory_bytes: int | None = Field(
        default=None, description="Of that GPU in all, without what its driver keeps for itself."
    )


class Platform(ObservedModel):
    """What a server ran on, as far as its node and its log say; "" and absent figures are not known."""

    gpu_name: str = Field(default="", max_length=128, description="The node's label nvidia.com/gpu.product.")
    gpu_memory_bytes: int | None = Field(default=None, ge=1, description="Of one GPU, by the node's labels.")
    vllm_version: str = Field(default="", max_length=64)


class CapacityEstimate(ObservedModel):
    """The highest rate at which every SLO holds, interpolated between the rates that were measured."""

    requests_per_minute: int
    low_requests_per_minute: int = Field(description="The highest measured rate at which all held.")
    high_requests_per_minute: int | None = Field(
        default=None, description="The lowest measured rate at which one broke; absent where none did."
    )


class Prediction(Model):
    """What the optimizer expected of a trial when it asked for it. What it did not say is absent.

    A gain is on the best configuration so far, as the optimizer sees that, should the trial meet all SLOs.
    """

    objective: int | None = Field(
        default=None, ge=0, le=1_000_000_000, description="In the study's unit, should all SLOs be met."
    )
    gain_permille: int | None = Field(default=None, ge=-1000, le=1_000_000)
    gain_stddev_permille: int | None = Field(default=None, ge=0, le=1_000_000)
    crash_permille: int | None = Field(default=None, ge=0, le=1000, description="Probability.")
    feasible_permille: int | None = Field(
        default=None, ge=0, le=1000, description="Probability that it lives and meets all SLOs."
    )
    gpu_seconds: int | None = Field(default=None, ge=0, le=1_000_000_000)
    vetoes: int = Field(
        default=0, ge=0, le=10_000, description="Configurations that were passed over as sure to crash; see reason."
    )


class TrialSpec(Model):
    """Which candidate, and why. Immutable; recorded before anything that it causes."""

    study: str = Field(min_length=1, max_length=40)
    number: int = Field(ge=0, le=100_000)
    attempt: int = Field(default=1, ge=1, le=100, description="From 1; more where infrastructure failed before.")
    purpose: Purpose
    parameters: Parameters = Field(default={}, max_length=32, description="Absent settings keep vLLM's default.")
    seed: int = Field(default=0, ge=0, le=2_147_483_647)
    target_hash: str = Field(default="", max_length=64, description="Of production's template when this was recorded.")
    reason: str = Field(default="", max_length=1024)
    soak_seconds: int | None = Field(
        default=None, ge=1, le=MOST_SOAK_SECONDS, description="Of a soak: for how long it has to be outlived."
    )
    predicted: Prediction | None = None

    @property
    def is_repeat(self) -> bool:
        """Of a configuration that was measured before: to confirm or soak one, or to hold one against a baseline."""
        baseline = self.purpose in {Purpose.PRODUCTION, Purpose.DEFAULT}
        return self.purpose in {Purpose.CONFIRM, Purpose.SOAK} or (baseline and self.number >= FIRST_SEARCHED)

    @property
    def costs_a_trial(self) -> bool:
        """Of the budget's. Soaks and canaries are owed to what was found; they cost GPU-minutes alone."""
        return self.purpose not in {Purpose.SOAK, Purpose.CANARY}


class TrialStatus(ObservedModel):
    """What came of it."""

    phase: TrialPhase = TrialPhase.PENDING
    outcome: Outcome | None = None
    started_at: AwareDatetime | None = None
    ready_at: AwareDatetime | None = None
    load_started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    gpus: int | None = Field(default=None, description="That the server holds.")
    gpu_seconds: int | None = None
    left_behind_gpu_seconds: int = Field(
        default=0, description="After its end was recorded, while no operator was there to remove its server."
    )
    arguments: list[str] = Field(default=[], max_length=1024, description="The server's whole command line arguments.")
    saved_gpu_seconds: int = Field(default=0, description="Of load that was not needed, since it was hopeless.")
    goodput_tokens_per_second: int | None = Field(default=None, description="At 100 % of the rate, rounded.")
    measurements: list[RateMeasurement] = Field(default=[], max_length=8)
    capacity: CapacityEstimate | None = Field(default=None, description="Read off the curve of several rates.")
    crash: Crash | None = None
    margins: Margins | None = None
    platform: Platform | None = None
    conditions: list[StatusCondition] = Field(default=[], max_length=8, json_schema_extra=CONDITION_MAP)
    message: str = Field(default="", max_length=1024)


class Trial(Model):
    """One start of one candidate, owned by its study."""

    api_version: Literal["sloguard.dev/v1alpha1"] = API_VERSION
    kind: Literal["SLOGuardTrial"] = "SLOGuardTrial"
    metadata: ObjectMeta
    spec: TrialSpec
    status: TrialStatus = TrialStatus()

    rules: ClassVar[tuple[Rule, ...]] = (immutable("spec", "a trial is a record; change the study instead"),)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def finished(self) -> bool:
        return self.status.phase is TrialPhase.FINISHED
