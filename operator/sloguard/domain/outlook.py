"""Whether a rate that is still running can end well: nothing is learnt by watching a server drown. Pure.

A rate is hopeless when it is certain to end overwhelmed (`goodput.is_overwhelmed`) even if every request that is not
lost yet were good: more than half of all planned requests are bad, each TTFT limit is missed by more than half, and
one SLO at least is broken. It is then ended, and its figures are bounds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.goodput import RequestRecord


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """One that was due so long ago and has not ended; `begun` when its first token has come."""

    age_microseconds: int
    begun: bool

    def misses(self, slo: SLO) -> bool:
        """For certain, however it ends."""
        waits = slo.metric is Metric.E2E or (slo.metric is Metric.TTFT and not self.begun)
        return waits and self.age_microseconds > slo.milliseconds * 1000


class Outlook:
    """Counts the lost requests of a window with a known number of planned ones."""

    def __init__(self, planned: int, slos: Sequence[SLO]) -> None:
        self._planned = planned
        self._slos = slos
        self._bad = 0
        self._missed = [0] * len(slos)

    def settle(self, record: RequestRecord) -> None:
        """The request has ended, in whatever way."""
        missed = [not record.keeps(slo) for slo in self._slos]
        self._bad += any(missed)
        self._missed = _added(self._missed, missed)

    def has_lost(self, request: OpenRequest) -> bool:
        """Whether it is bad already, however it ends."""
        return any(request.misses(slo) for slo in self._slos)

    def is_hopeless(self, still_open: Iterable[OpenRequest]) -> bool:
        """Certain to end overwhelmed, whatever becomes of the rest."""
        bad, missed = self._bad, self._missed
        for request in still_open:
            late = [request.misses(slo) for slo in self._slos]
            bad += any(late)
            missed = _added(missed, late)
        judged = list(zip(self._slos, missed, strict=True))
        overwhelmed = 2 * bad > self._planned and all(
            2 * times > self._planned for slo, times in judged if slo.metric is Metric.TTFT
        )
        return overwhelmed and any(self._broken(slo, times) for slo, times in judged)

    def _broken(self, slo: SLO, missed: int) -> bool:
        """ITL is held over pooled gaps, which are not known before the end."""
        return slo.metric is not Metric.ITL and 100 * missed > (100 - slo.percentile) * self._planned


def _added(counts: Sequence[int], more: Sequence[bool]) -> list[int]:
    return [count + one for count, one in zip(counts, more, strict=True)]
