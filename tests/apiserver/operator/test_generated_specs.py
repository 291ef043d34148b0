"""A few studies made by mutation, side by side before the real operator: each says where it stands, and none spins."""

from datetime import datetime

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.apiserver.admission.rest import RefusedError
from tests.apiserver.operator.objects import production
from tests.property.study_changes import studies

OFFERED = 24
MOST_REQUESTS_A_MINUTE = 600
"""Of one study: a reconcile is some ten requests, and a study without children is looked at every 15 s."""


def test_each_says_where_it_stands_and_none_spins(world, operator):
    world.serve = lambda _: 100.0
    taken, refusals = [], []

    @seed(1)
    @settings(
        max_examples=OFFERED,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(study=studies())
    def offer(study):
        name = f"s{len(taken)}"
        try:
            world.create("sloguardstudies", study | {"metadata": {"name": name}})
        except RefusedError as error:
            refusals.append(error)
        else:
            taken.append(name)

    world.create("deployments", production("llama-8b"))
    offer()
    assert all(refusal.code in {400, 422} for refusal in refusals), refusals
    assert taken, "all of them were rejected"
    world.play(lambda: all(world.status(name).get("conditions") for name in taken), 120)
    for name in taken:
        ready = world.condition("Ready", name)
        assert ready["reason"]
        assert ready["message"]
    asked = operator.requests(world.namespace)
    first, last = (datetime.fromisoformat(asked[end]["time"]) for end in (0, -1))
    minutes = max((last - first).total_seconds() / 60, 0.5)
    assert len(asked) / minutes / len(taken) < MOST_REQUESTS_A_MINUTE
