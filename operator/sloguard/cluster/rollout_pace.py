"""How many pods a Deployment's update makes and ends at a time, as its controller reckons it. Pure.

Percentages are of the replicas, surge rounded up and unavailability down; where both come to 0, one may be unavailable
(kubernetes/kubernetes, pkg/controller/deployment/util: ResolveFenceposts).
"""

import math

from sloguard.cluster.objects import Object, section
from sloguard.engine.snapshot import Pace

_DEFAULT = "25%"


def pace_of(deployment: Object) -> Pace:
    """Of the strategy that it has now."""
    spec = section(deployment, "spec")
    replicas = int(spec.get("replicas", 1))
    if section(spec, "strategy").get("type") == "Recreate":
        return Pace(surge=0, unavailable=replicas)
    rolling = section(spec, "strategy", "rollingUpdate")
    surge = math.ceil(_pods(rolling.get("maxSurge", _DEFAULT), replicas))
    unavailable = math.floor(_pods(rolling.get("maxUnavailable", _DEFAULT), replicas))
    return Pace(surge, unavailable if surge or unavailable else 1)


def _pods(said: object, replicas: int) -> float:
    """Of a number, or of a share of the replicas; 0 of what is neither, which no API server stores."""
    number = str(said).removesuffix("%")
    if not number.isdecimal():
        return 0
    return int(number) * replicas / 100 if str(said).endswith("%") else int(number)
