"""Holds what the client measured against what the server counted, and says in what they differ, if they do.

The client's clock starts when a request was due, the server's when it has read it; so the client may be later by the
generator's own lag and by a usual delay, and never earlier. Where the server finished more requests than the client
saw completed, the others may lie anywhere among them, and the bounds on each percentile are that much wider.

Of ITL only the sum can be compared. The server has a value for each of the engine's steps, the client for each chunk
that arrived, and past saturation a chunk holds several steps: no percentile, and no number of gaps within a limit, of
the one bounds that of the other. But a request's gaps add up to the time from its first token to its last on both
sides, however its tokens are packed. The client's sum may be less: where the first chunk was held up and the last was
not. It may be more only by what the last tokens were on their way.
"""

from collections.abc import Iterator, Sequence
from math import ceil, floor, inf

from sloguard.api.v1alpha1 import (
    SLO,
    Disagreement,
    DisagreementPart,
    LatencySummary,
    Metric,
    RateMeasurement,
    ServerView,
)

from .buckets import Buckets
from .server_view import ServerWindow, view

USUAL_DELAY_MICROSECONDS = {Metric.TTFT: 25_000, Metric.TPOT: 2_000, Metric.E2E: 50_000}
"""Between server and client: connection, parsing, and tokens on their way. A last token is as late as an answer."""

USUAL_DELAY_PERCENT = 10
TOKENS_PERCENT = 1
GOOD_PERCENT = 2
"""Of the requests sent: so many may be within a limit by the server's clock and over it by the client's."""


def compare(
    client: RateMeasurement, window: ServerWindow, slos: Sequence[SLO], *, also_sent: int = 0
) -> ServerView | None:
    """The server's view of the window, with what the client's figures disagree with; None where it has none.

    `also_sent` requests of the load's own that are not of this rate may be in the counters too.
    """
    seen = view(window, slos, client.completed)
    if seen is None:
        return None
    return seen.model_copy(update={"disagreements": _disagreements(client, window, seen, slos, also_sent)})


def _disagreements(
    client: RateMeasurement, window: ServerWindow, seen: ServerView, slos: Sequence[SLO], also_sent: int
) -> list[Disagreement]:
    if seen.restarts:
        return [_counted(DisagreementPart.RESTART, client.completed, seen.requests)]
    found = [*_traffic(client, window, seen, also_sent), *_latencies(client, window)]
    by_gaps = any(slo.metric is Metric.ITL for slo in slos)
    return found if found or by_gaps else [*_good(client, seen)]


def _traffic(client: RateMeasurement, window: ServerWindow, seen: ServerView, also_sent: int) -> Iterator[Disagreement]:
    """Whether the server served the load's requests and no others. A failed one may have been finished there."""
    turned_away = client.violations.refused + client.violations.client_error
    most = client.sent - turned_away + window.open_before + also_sent
    if seen.requests > most:
        yield _counted(DisagreementPart.OTHER_TRAFFIC, most, seen.requests)
    elif seen.requests < client.completed:
        yield _counted(DisagreementPart.MISSING, client.completed, seen.requests)
    elif seen.requests == client.completed:
        for said, counted in ((client.prompt_tokens, seen.prompt_tokens), (client.output_tokens, seen.output_tokens)):
            # A tokenizer may put a token before each prompt, and a server may end one token later than it was asked to.
            usual = client.completed + said * TOKENS_PERCENT // 100
            if counted is not None and abs(counted - said) > usual:
                yield _counted(DisagreementPart.TOKENS, said, counted)


def _latencies(client: RateMeasurement, window: ServerWindow) -> list[Disagreement]:
    """The worst percentile of each metric. A first token that is late alone waited; else all of them are late."""
    gap, first, end = (_worst(client, window, metric) for metric in (Metric.TPOT, Metric.TTFT, Metric.E2E))
    gap = gap or _streams(client, window)
    if first is not None and gap is None and first.part is DisagreementPart.NETWORK:
        first = first.model_copy(update={"part": DisagreementPart.QUEUE})
    return [one for one in (gap, first) if one is not None] or ([end] if end is not None else [])


def _streams(client: RateMeasurement, window: ServerWindow) -> Disagreement | None:
    """Whether the tokens after the first took longer in all than the server says; finer than the edges of TPOT.

    The server's sum may hold others' gaps, which makes the bound wider; all of the client's must be in it.
    """
    found, said = window.latencies(Metric.ITL), _said(client, Metric.ITL)
    if found is None or found.total is None or said is None or not said.count:
        return None
    most = found.total * 1e6
    tokens = client.output_tokens - client.completed
    usual = max(
        client.completed * USUAL_DELAY_MICROSECONDS[Metric.E2E],
        tokens * USUAL_DELAY_MICROSECONDS[Metric.TPOT],
        most * USUAL_DELAY_PERCENT / 100,
    )
    if (window.finished or 0) < client.completed or said.sum_microseconds <= most + usual:
        return None
    return Disagreement(
        part=DisagreementPart.NETWORK,
        metric=Metric.ITL,
        client=round(said.sum_microseconds / said.count),
        server_high=round(most / said.count),
    )


def _said(client: RateMeasurement, metric: Metric) -> LatencySummary | None:
    return next((summary for summary in client.latencies if summary.metric is metric), None)


def _worst(client: RateMeasurement, window: ServerWindow, metric: Metric) -> Disagreement | None:
    found, said = window.latencies(metric), _said(client, metric)
    if found is None or said is None or not 0 < said.count <= found.count:
        return None
    lag = 0 if metric is Metric.TPOT else client.dispatch_lag_p99_microseconds
    compared = [_held(said, percentile, value, found, lag) for percentile, value in _figures(said)]
    distance, worst = max(compared, key=lambda one: one[0], default=(0.0, None))
    return worst if distance > 0 else None


def _figures(said: LatencySummary) -> Iterator[tuple[int, int]]:
    figures = ((50, said.p50_microseconds), (95, said.p95_microseconds), (99, said.p99_microseconds))
    return ((percentile, value) for percentile, value in figures if value is not None)


def _held(said: LatencySummary, percentile: int, value: int, found: Buckets, lag: int) -> tuple[float, Disagreement]:
    """How far a figure is outside of what the server allows (negative: inside), and how to say so."""
    low, high = percentile_bounds(found, percentile, said.count)
    late = value - high - lag - max(USUAL_DELAY_MICROSECONDS[said.metric], high * USUAL_DELAY_PERCENT / 100)
    # Half a microsecond: the client's figures are rounded.
    early = low - value - max(0.5, low * USUAL_DELAY_PERCENT / 100)
    part = DisagreementPart.NETWORK if late >= early else DisagreementPart.CLOCK
    disagreement = Disagreement(
        part=part,
        metric=said.metric,
        percentile=percentile,
        client=value,
        server_low=round(low),
        server_high=None if high == inf else round(high),
    )
    return max(late, early), disagreement


def percentile_bounds(found: Buckets, percentile: int, own: int) -> tuple[float, float]:
    """In microseconds, of a percentile that is interpolated over `own` of the values, whichever those are."""
    position = (own - 1) * percentile / 100
    least, _ = found.at_rank(floor(position) + 1)
    _, most = found.at_rank(ceil(position) + 1 + found.count - own)
    return least * 1e6, inf if most is None else most * 1e6


def _good(client: RateMeasurement, seen: ServerView) -> Iterator[Disagreement]:
    if seen.good_low is None or seen.good_high is None:
        return
    usual = 1 + client.sent * GOOD_PERCENT // 100
    if not seen.good_low - usual <= client.good <= seen.good_high + usual:
        yield Disagreement(
            part=DisagreementPart.GOOD_REQUESTS,
            client=client.good,
            server_low=seen.good_low,
            server_high=seen.good_high,
        )


def both(direct: ServerView | None, seen: ServerView) -> ServerView:
    """What two readings of the same counters say: the bounds of the narrower one, and the disagreements of both.

    The server's own page is read at the very ends of the window, Prometheus' samples lie around it.
    """
    if direct is None or direct.restarts:
        return seen
    known = {one.part for one in direct.disagreements}
    more = [one for one in seen.disagreements if one.part not in known]
    return direct.model_copy(update={"source": seen.source, "disagreements": [*direct.disagreements, *more][:8]})


def _counted(part: DisagreementPart, client: int, server: int) -> Disagreement:
    return Disagreement(part=part, client=client, server_low=server, server_high=server)
