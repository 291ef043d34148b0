"""Recorded requests, and how they are replayed."""

from typing import ClassVar

from pydantic import Field

from .base import Model
from .rules import Rule


def _prefix_of_no_group(entry: "TraceEntry") -> tuple[object, ...] | None:
    return (entry.prefix_tokens,) if entry.prefix_tokens is not None and entry.prefix_group is None else None


class TraceEntry(Model):
    """One recorded request."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.prefixTokens) || has(self.prefixGroup)",
            message="prefixTokens %s are shared with nobody; add prefixGroup or remove prefixTokens",
            values=("self.prefixTokens",),
            broken=_prefix_of_no_group,
            path=".prefixTokens",
        ),
    )

    at_milliseconds: int = Field(ge=0, le=86_400_000, description="After the start of the trace.")
    prompt_tokens: int = Field(ge=1, le=1_000_000)
    output_tokens: int = Field(ge=1, le=1_000_000)
    prefix_group: int | None = Field(
        default=None, ge=0, le=2_147_483_647, description="Prompts of one group begin with the same tokens."
    )
    prefix_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="How many are the same; if absent all, as in a talk whose every turn repeats what was said.",
    )


class Replay(Model):
    """How a trace is replayed; sweepPercent speeds it up (or slows it down) further."""

    from_seconds: int = Field(default=0, ge=0, le=31_536_000, description="Begin here in the trace.")
    time_percent: int = Field(
        default=100, ge=1, le=10_000, description="Recorded times take this share: at 50 all goes twice as fast."
    )
    rate_percent: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="So many requests for 100 recorded ones, at the recorded speed: a random share, or copies between.",
    )
