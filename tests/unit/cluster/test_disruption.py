"""A PodDisruptionBudget's word counts where the operator lets a replica go first."""

import pytest

from sloguard.cluster.api import RefusedError
from sloguard.cluster.disruption import undisturbed
from tests.unit.cluster.objects import deployment

MATCHING = {"matchLabels": {"app": "llama"}}


class Budgets:
    """An API server that has these."""

    def __init__(self, *found, status=0):
        self.found, self.status = found, status

    async def items(self, resource, namespace):
        assert (resource.plural, namespace) == ("poddisruptionbudgets", "prod")
        if self.status:
            raise RefusedError(self.status, "no")
        return list(self.found)


def budget(selector, allowed, *, generation=2, seen=2):
    status = {"observedGeneration": seen, "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2}
    metadata = {"name": "llama", "generation": generation}
    return {"metadata": metadata, "spec": {"selector": selector} if selector is not None else {}, "status": status}


@pytest.mark.parametrize(
    ("found", "forbids"),
    [
        (budget(MATCHING, 0), True),
        (budget(MATCHING, 1), False),
        (budget(MATCHING, 1, seen=1), True),
        (budget({}, 0), True),
        (budget(None, 0), False),
        (budget({"matchLabels": {"app": "other"}}, 0), False),
        (budget({"matchExpressions": [{"key": "app", "operator": "In", "values": ["llama"]}]}, 0), True),
        (budget({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, 0), False),
    ],
)
async def test_what_selects_production_and_lets_none_be_missing(found, forbids):
    why = await undisturbed(Budgets(budget({"matchLabels": {"x": "y"}}, 0), found), deployment())
    assert bool(why) is forbids
    assert (
        not forbids
        or why == "PodDisruptionBudget llama lets none be missing now (2 of its pods are healthy, and it wants 2)"
    )


async def test_without_any_nothing_is_forbidden():
    assert await undisturbed(Budgets(), deployment()) == ""
    assert await undisturbed(Budgets(status=403), None) == ""


async def test_whoever_may_not_see_them_takes_none_away():
    assert "may not list poddisruptionbudgets" in await undisturbed(Budgets(status=403), deployment())


async def test_an_api_server_that_fails_is_asked_again():
    with pytest.raises(RefusedError):
        await undisturbed(Budgets(status=503), deployment())
