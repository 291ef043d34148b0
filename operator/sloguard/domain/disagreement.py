"""Says in words in what client and server disagree, and what a person should look at."""

from sloguard.api.v1alpha1 import Disagreement, DisagreementPart

_ADVICE = {
    DisagreementPart.RESTART: "the counters began anew within the measurement; look for a restart of the container",
    DisagreementPart.OTHER_TRAFFIC: (
        "somebody else sends requests to this server, and its figures are those of both; see what else uses its address"
    ),
    DisagreementPart.MISSING: (
        "part of the load was served by another server, or the counters were read too early; look for several servers "
        "behind one address"
    ),
    DisagreementPart.TOKENS: (
        "client and server do not count the same tokens; see whether prompts are changed on their way, by a proxy or a "
        "chat template"
    ),
    DisagreementPart.QUEUE: (
        "time passes before the server takes a request: a queue in front of it, new connections, tokenizing, or a proxy"
    ),
    DisagreementPart.NETWORK: (
        "tokens are late on their way: a proxy that holds the stream back, the network, or too little CPU for the load"
    ),
    DisagreementPart.CLOCK: "the client is faster than the server says: other requests may be in the counters",
    DisagreementPart.GOOD_REQUESTS: "client and server do not agree on which requests kept the limits",
}


def explain(disagreement: Disagreement) -> str:
    """The two figures, and what a person should look at."""
    figures = _counted(disagreement) if disagreement.metric is None else _timed(disagreement)
    return f"{disagreement.part.value}: {figures} ({_ADVICE[disagreement.part]})"


def _timed(one: Disagreement) -> str:
    assert one.metric is not None, "called for latencies only"
    client, low = _milliseconds(one.client), _milliseconds(one.server_low)
    if one.percentile is None:
        high = _milliseconds(one.server_high or 0)
        return f"mean {one.metric.value} is {client} ms for the client, at most {high} ms for the server"
    high = "or more" if one.server_high is None else f"to {_milliseconds(one.server_high)} ms"
    return f"{one.metric.value} p{one.percentile} is {client} ms for the client, {low} {high} for the server"


def _counted(one: Disagreement) -> str:
    unit = _UNITS.get(one.part, "requests")
    if one.server_high in {None, one.server_low}:
        return f"{unit}: client {one.client}, server {one.server_low}"
    return f"{unit}: client {one.client}, server {one.server_low} to {one.server_high}"


_UNITS = {DisagreementPart.TOKENS: "tokens", DisagreementPart.GOOD_REQUESTS: "good requests"}


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:g}"
