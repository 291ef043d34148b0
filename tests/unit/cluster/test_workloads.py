"""Each kind of target: where its template is, how its update goes, which pods are its own."""

import pytest

from sloguard.cluster.workloads.deployment import DEPLOYMENT
from sloguard.engine.snapshot import Pace
from tests.unit.cluster.objects import deployment


def rolling(surge=None, unavailable=None):
    given = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": {k: v for k, v in given.items() if v is not None}}


@pytest.mark.parametrize(
    ("replicas", "strategy", "expected"),
    [
        (1, None, Pace(1, 0)),
        (2, rolling(), Pace(1, 0)),
        (4, rolling(), Pace(1, 1)),
        (10, rolling("25%", "25%"), Pace(3, 2)),
        (2, rolling(0, 1), Pace(0, 1)),
        (2, rolling("0%", "30%"), Pace(0, 1)),
        (3, rolling(0, "40%"), Pace(0, 1)),
        (2, rolling(2, 0), Pace(2, 0)),
        (3, {"type": "Recreate"}, Pace(0, 3)),
    ],
)
def test_surge_is_rounded_up_and_unavailability_down(replicas, strategy, expected):
    given = {"strategy": strategy} if strategy is not None else {}
    assert DEPLOYMENT.pace(deployment(replicas=replicas, **given)) == expected
