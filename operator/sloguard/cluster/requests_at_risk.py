"""Whether pods of production can come and go without a request lost, by what their template says. Pure.

A pod that is to go is still sent requests for a moment, until all nodes know, and has open streams; at SIGTERM vLLM
takes no new connections any more, and some versions freeze what they stream (0.24). Only a preStop hook comes before.
"""

from sloguard.cluster.objects import Object, section

USUAL_GRACE_SECONDS = 30
"""Kubernetes' own default."""


def at_risk(template: Object, container: Object) -> str:
    """What may lose requests at each update, or nothing."""
    pre_stop, grace = section(container, "lifecycle", "preStop"), _grace_seconds(template)
    sleeps = section(pre_stop, "sleep").get("seconds", 0)
    found = [
        "" if container.get("readinessProbe") else _NO_PROBE,
        "" if pre_stop else _NO_HOOK,
        _NO_GRACE.format(sleeps=sleeps, grace=grace) if sleeps >= grace else "",
    ]
    return "; ".join(filter(None, found))


_NO_PROBE = "without a readinessProbe new pods are sent requests before they can answer"
_NO_HOOK = (
    "without a preStop hook pods that go may cut off what they answer; let it sleep for longer than the longest answer "
    "takes, and terminationGracePeriodSeconds be longer than that"
)
_NO_GRACE = "preStop sleeps for {sleeps} s, and terminationGracePeriodSeconds {grace} cuts off what is answered then"


def _grace_seconds(template: Object) -> int:
    said = section(template, "spec").get("terminationGracePeriodSeconds")
    return USUAL_GRACE_SECONDS if said is None else int(said)
