"""What a load Job is told to do."""

from typing import Annotated

from pydantic import AfterValidator, Field

from sloguard.api.v1alpha1 import SLO, Metric, Model, Workload


class LoadInputError(Exception):
    """The load cannot begin as it was asked for; the message says what to change."""


def _base_of(url: str) -> str:
    """People paste the OpenAI base address; /health and /metrics live beside /v1."""
    return url.rstrip("/").removesuffix("/v1")


class LoadRequest(Model):
    """One server, the workload to send to it and the limits to hold it against."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+", max_length=2048), AfterValidator(_base_of)]
    model: str | None = Field(default=None, min_length=1, max_length=512, description="Asked of the server if absent.")
    workload: Workload
    slos: list[SLO] = Field(min_length=1, max_length=8)
    stop_when_hopeless: bool = Field(
        default=False,
        description="End a rate as soon as it is certain to overwhelm the server; its figures are then bounds.",
    )
    first_token_id: int = Field(
        default=100,
        ge=0,
        le=1_000_000,
        description="Prompts are drawn from the 256 ids from here on: above special tokens, within any vocabulary.",
    )
    dispatch_lag_floor_milliseconds: int = Field(
        default=25, ge=1, le=60_000, description="A smaller lag of the generator never makes a result invalid."
    )

    @property
    def dispatch_lag_limit_microseconds(self) -> int:
        """A tenth of the tightest limit that counts from the due time, but not below the floor.

        ITL and TPOT are gaps within one answer: the generator's lateness does not reach them. Where it does, it makes
        a server look slower than it is, never faster.
        """
        limits = [slo.milliseconds for slo in self.slos if slo.metric in {Metric.TTFT, Metric.E2E}]
        return max(min(limits, default=0) * 100, self.dispatch_lag_floor_milliseconds * 1000)
