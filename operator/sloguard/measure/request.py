"""What a load Job is told to do."""

from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from sloguard.api.v1alpha1 import SLO, ArrivalPattern, Metric, Model, Workload
from sloguard.api.v1alpha1.trial import MOST_SOAK_SECONDS

ARRIVALS_LIMIT_MICROSECONDS = 100_000
"""Requests that come a tenth of a second late still come in the pattern that was asked for."""


class LoadInputError(Exception):
    """The load cannot begin as it was asked for; the message says what to change."""


def _base_of(url: str) -> str:
    """People paste the OpenAI base address; /health and /metrics live beside /v1."""
    return url.rstrip("/").removesuffix("/v1")


class Soak(Model):
    """Send the workload's worst case for so long (`worst_case.py`), instead of its rates.

    What the server can hold at once, as far as that is known: by its arguments, and by what it said when it started.
    """

    seconds: int = Field(ge=1, le=MOST_SOAK_SECONDS)
    max_num_seqs: int | None = Field(default=None, ge=1)
    kv_cache_tokens: int | None = Field(default=None, ge=1)


class LoadRequest(Model):
    """One server, the workload to send to it and the limits to hold it against."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+", max_length=2048), AfterValidator(_base_of)]
    model: str | None = Field(default=None, min_length=1, max_length=512, description="Asked of the server if absent.")
    workload: Workload
    slos: list[SLO] = Field(min_length=1, max_length=8)
    soak: Soak | None = None
    stop_when_hopeless: bool = Field(
        default=False,
        description="End a rate as soon as it is certain to overwhelm the server; its figures are then bounds.",
    )
    standstill_seconds: int | None = Field(
        default=None, ge=1, le=3600, description="As spec.trial.standstillSeconds; as usual where absent."
    )
    first_token_id: int = Field(
        default=100,
        ge=0,
        le=1_000_000,
        description="Prompts are drawn from the 256 ids from here on: above special tokens, within any vocabulary.",
    )

    starts_at: AwareDatetime | None = Field(
        default=None, description="When all generators of the workload begin; absent for one that has it all."
    )
    generator: int | None = Field(
        default=None,
        ge=0,
        description="Which of workload.generators this is, from 0.",
    )

    @model_validator(mode="after")
    def _generator_is_one_of_them(self) -> Self:
        count = self.workload.generators
        if self.generator is not None and (self.generator >= count or self.starts_at is None):
            when = self.starts_at.isoformat() if self.starts_at else "nothing"
            raise ValueError(
                f"generator {self.generator} starts at {when}; it has to be one of 0 to {count - 1} "
                "(workload.generators), and startsAt has to name the moment at which all of them begin"
            )
        return self

    @model_validator(mode="after")
    def _has_a_rate(self) -> Self:
        if self.workload.arrival.pattern is ArrivalPattern.LIVE and self.soak is None:
            raise ValueError("pattern Live sends nothing; give requestsPerMinute and another pattern here")
        if self.workload.arrival.pattern is ArrivalPattern.FROM_PRODUCTION:
            raise ValueError(
                "pattern FromProduction is resolved by the operator, which has a Prometheus; "
                "give requestsPerMinute and another pattern here"
            )
        return self

    @property
    def dispatch_lag_limit_microseconds(self) -> int:
        """How late the generator may send its requests (p99): 1 % of the tightest limit that counts from the due time.

        Its lateness is part of those latencies, so beyond that it could decide what the candidate is blamed for. ITL
        and TPOT are gaps within one answer, which it does not reach: with those alone only the arrivals have to keep
        their pattern.

        The floor is for machines that cannot be that exact: below some milliseconds lateness is the kernel's and the
        neighbours', and no fault of the measurement would be left to find. Its default of 5 ms is several times what a
        processor of its own allows (tests/bench/README.md) and decides below limits of 500 ms. Two cores that server,
        generator and others share need more; so do the studies of this project's tests, which say so.
        """
        limits = [slo.milliseconds for slo in self.slos if slo.metric in {Metric.TTFT, Metric.E2E}]
        if not limits:
            return ARRIVALS_LIMIT_MICROSECONDS
        return max(min(limits) * 10, self.workload.dispatch_lag_floor_milliseconds * 1000)
