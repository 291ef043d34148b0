"""What a trial leaves that another study can use: what was started, on what, and how near it came to failing. Pure.

Never what it served: another workload, or another day, makes that worthless. What fits into a GPU's memory and what a
version of vLLM cannot do stay true, and production does not try twice what it has refused once.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from sloguard.api.v1alpha1 import Crash, Fault, Margins, Outcome, Platform, Purpose, Trial
from sloguard.api.v1alpha1.base import ObservedModel
from sloguard.api.v1alpha1.trial import Parameters

from .arguments import option, tuned
from .knobs import parse_values, text_of
from .result import Result, Values
from .rules import Context, effective

SCHEMA = 1

LONGEST_CAUSE = 400
"""Characters: enough for what a message says of memory; whole lines of a log would fill the ledger."""

MOST_OF_A_KIND = 150
"""Records of one setup that a ledger keeps: the latest. A study leaves some thirty."""

MOST_RECORDS = 900
"""That a ledger keeps in all; at some 800 bytes each, well below a ConfigMap's 1 MiB."""

_VERSION = re.compile(r"(?:vLLM API server version |Initializing a V1 LLM engine \()v?(\d[\w.+-]{0,60})")

_IDENTITY = ("revision", "dtype", "hf-overrides", "profile")
"""Options that make another model of the same name (and the simulator's whole machine)."""


class Setup(ObservedModel):
    """GPU, model and vLLM that a study ran on, as far as known; "" and absent figures are not known.

    `compute_capability_tenths` is 90 for Hopper. `kv_heads` are the heads whose keys and values are kept; a head's size
    is hidden_size / attention_heads.
    """

    gpu_name: str = Field(default="", max_length=128)
    gpu_memory_bytes: int | None = Field(default=None, gt=0)
    gpu_bandwidth_bytes_per_second: int | None = Field(default=None, gt=0)
    compute_capability_tenths: int | None = Field(default=None, gt=0)
    model: str = Field(default="", max_length=256)
    parameters: int | None = Field(default=None, gt=0)
    layers: int | None = Field(default=None, gt=0)
    attention_heads: int | None = Field(default=None, gt=0)
    kv_heads: int | None = Field(default=None, gt=0)
    hidden_size: int | None = Field(default=None, gt=0)
    vllm_version: str = Field(default="", max_length=64)


class LedgerRecord(ObservedModel):
    """One configuration that was started in a study. `parameters` are all its settings in effect that are known.

    `run` tells studies of the same name apart: a study's UID. With `number` it is what makes a record unique.
    """

    schema_version: Literal[1] = SCHEMA
    study: str = Field(min_length=1, max_length=40)
    run: str = Field(default="", max_length=64)
    number: int = Field(ge=0, le=100_000)
    finished_at: AwareDatetime | None = None
    setup: Setup = Setup()
    parameters: Parameters = Field(max_length=32)
    crashed: bool
    crash: Crash | None = None
    margins: Margins | None = None
    refused: bool = False
    """Production's own traffic was served worse with it, by a canary or by all of its pods."""

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        """KnobError is a ValueError: a value that no knob can have makes the record unreadable, whole."""
        parse_values(self.parameters)
        return self

    @property
    def key(self) -> tuple[str, str, int]:
        return self.study, self.run, self.number

    @cached_property
    def values(self) -> Values:
        """The settings in effect, in Python's types."""
        return parse_values(self.parameters)

    def as_result(self) -> Result:
        """For whoever reads margins and crashes off results; its number says nothing."""
        outcome = Outcome.CRASHED if self.crashed else Outcome.FEASIBLE
        return Result(self.number, self.values, outcome, crash=self.crash, margins=self.margins)

    @classmethod
    def of(cls, result: Result, context: Context, *, study: str, run: str, setup: Setup) -> Self:
        """Of a trial that lived or crashed."""
        return cls(
            study=study,
            run=run,
            number=result.number,
            setup=setup,
            parameters=text_of(effective(result.parameters, context)),
            crashed=result.outcome is Outcome.CRASHED,
            crash=None if result.crash is None else _shortened(result.crash),
            margins=result.margins,
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """What earlier studies left, oldest first, and what this one runs on."""

    setup: Setup = field(default_factory=Setup)
    records: tuple[LedgerRecord, ...] = ()


EMPTY = Ledger()


def record_of(trial: Trial, run: str, setup: Setup) -> LedgerRecord | None:
    """What a finished trial leaves; None for one that says nothing of its configuration."""
    status = trial.status
    lived = status.outcome in {Outcome.FEASIBLE, Outcome.INFEASIBLE}
    crashed = status.outcome is Outcome.CRASHED and status.crash is not None
    if not trial.finished or not (lived or crashed):
        return None
    if status.crash is not None and status.crash.fault is not Fault.CONFIGURATION:
        return None
    values = parse_values(tuned(status.arguments))
    outcome = status.outcome or Outcome.CRASHED
    result = Result(trial.spec.number, values, outcome, crash=status.crash, margins=status.margins)
    context = Context(vram_bytes=setup.gpu_memory_bytes, gpu_name=setup.gpu_name)
    record = LedgerRecord.of(result, context, study=trial.spec.study, run=run, setup=setup)
    refused = trial.spec.purpose is Purpose.CANARY and outcome is Outcome.INFEASIBLE
    return record.model_copy(update={"finished_at": status.finished_at, "refused": refused})


def failed_with(ledger: Ledger, values: Values) -> LedgerRecord | None:
    """What crashed, or was refused, with these very settings, on the same GPU, model and version of vLLM."""
    here = ledger.setup
    for record in ledger.records:
        there = record.setup
        same = (there.model, there.gpu_name, there.vllm_version) == (here.model, here.gpu_name, here.vllm_version)
        if (record.crashed or record.refused) and same:
            context = Context(vram_bytes=there.gpu_memory_bytes, gpu_name=there.gpu_name)
            if text_of(effective(values, context)) == record.parameters:
                return record
    return None


def setup_of(trial: Trial) -> Setup:
    """What a trial's server ran on, as far as its record says."""
    status = trial.status
    platform = status.platform or Platform()
    seen = status.margins.device_memory_bytes if status.margins else None
    return Setup(
        gpu_name=platform.gpu_name,
        gpu_memory_bytes=platform.gpu_memory_bytes or seen or None,
        model=model_of(status.arguments),
        vllm_version=platform.vllm_version,
    )


def model_of(arguments: Sequence[str]) -> str:
    """What a server's arguments say of its model, with what makes it another one; "" where they name none."""
    name = option(arguments, "model") or ""
    said = [f"{each}={value}" for each in _IDENTITY if (value := option(arguments, each)) is not None]
    return " ".join(filter(None, [name, *said]))[:256]


def version_in(log: str) -> str:
    """Of vLLM, as a server's log says it; "" where it does not."""
    found = _VERSION.search(log)
    return found[1] if found else ""


def compacted(records: Iterable[LedgerRecord]) -> list[LedgerRecord]:
    """Without doubles (the later of two counts), and the latest MOST_OF_A_KIND of each setup, MOST_RECORDS in all."""
    latest = {record.key: record for record in records}
    kept: list[LedgerRecord] = []
    counts: dict[Setup, int] = {}
    for record in reversed(latest.values()):
        counts[record.setup] = counts.get(record.setup, 0) + 1
        if counts[record.setup] <= MOST_OF_A_KIND and len(kept) < MOST_RECORDS:
            kept.append(record)
    return kept[::-1]


def nearest(records: Sequence[LedgerRecord], here: Setup, most: int) -> tuple[LedgerRecord, ...]:
    """At most so many, oldest first: those of this model before those of this GPU, and the latest before older ones."""

    def kin(index: int) -> tuple[bool, bool, int]:
        there = records[index].setup
        model = bool(here.model) and there.model == here.model
        return model, bool(here.gpu_name) and there.gpu_name == here.gpu_name, index

    kept = sorted(range(len(records)), key=kin)[-most:] if most > 0 else []
    return tuple(records[index] for index in sorted(kept))


def _shortened(crash: Crash) -> Crash:
    return crash.model_copy(update={"cause": crash.cause[:LONGEST_CAUSE], "line": None, "activity": None})
