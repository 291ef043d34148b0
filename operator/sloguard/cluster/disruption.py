"""Whether a replica of production may be missing now, by its PodDisruptionBudgets.

No rolling update asks them. But where the operator itself lets a replica go first, its owner's word on how many have to
be there counts.
"""

from http import HTTPStatus

from sloguard.cluster.api import DISRUPTION_BUDGETS, Api, RefusedError
from sloguard.cluster.objects import Object, listing, section
from sloguard.cluster.pod_request import requirement_holds
from sloguard.cluster.workloads.kinds import template_of


async def undisturbed(api: Api, production: Object | None) -> str:
    """Why none may, or nothing.

    Raises:
        RefusedError: the API server said no, and not for want of permission.

    """
    if production is None:
        return ""
    try:
        budgets = await api.items(DISRUPTION_BUDGETS, production["metadata"].get("namespace", ""))
    except RefusedError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return "the operator may not list poddisruptionbudgets, and one may forbid it (charts/manifests/rbac.yaml)"
    labels = section(template_of(production), "metadata", "labels")
    return next((why for budget in budgets if _selects(budget, labels) and (why := _forbids(budget))), "")


def _selects(budget: Object, labels: Object) -> bool:
    """An empty selector selects all pods, and none at all selects none."""
    selector = section(budget, "spec").get("selector")
    if selector is None:
        return False
    alike = section(selector, "matchLabels").items() <= labels.items()
    return alike and all(requirement_holds(each, labels) for each in listing(selector, "matchExpressions"))


def _forbids(budget: Object) -> str:
    """By its controller's count; one that speaks of an earlier budget allows nothing yet."""
    metadata, status = budget["metadata"], section(budget, "status")
    seen = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    if seen and status.get("disruptionsAllowed", 0) > 0:
        return ""
    healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    return (
        f"PodDisruptionBudget {metadata['name']} lets none be missing now ({healthy} of its pods are healthy, and it "
        f"wants {wanted})"
    )
