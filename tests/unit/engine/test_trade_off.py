"""The front of goodput against latency in the study's status, and why the recommendation is that point of it."""

from sloguard.api.v1alpha1 import Outcome, Purpose
from sloguard.engine.plan import plan
from tests.unit.engine.builders import T0, feasible, make_study, make_trial, rate, snapshot


def at(goodput, milliseconds, met=True):
    """One rate with this TTFT p99, of a limit of 500 ms."""
    measured = rate(goodput, met)
    slo = measured.slos[0].model_copy(update={"measured_microseconds": 1000 * milliseconds})
    return measured.model_copy(update={"slos": [slo]})


def measured(number, goodput, milliseconds, **more):
    return make_trial(number, Outcome.FEASIBLE, [at(goodput, milliseconds)], **more)


def repeat(number, of, goodput, milliseconds):
    purpose = {0: Purpose.PRODUCTION, 1: Purpose.DEFAULT}.get(of, Purpose.CONFIRM)
    parameters = {0: {"max_num_seqs": "2"}, 1: {}}.get(of, {"max_num_seqs": str(10 + of)})
    return measured(number, goodput, milliseconds, purpose=purpose, parameters=parameters)


SEARCHED = [measured(0, 100, 300), measured(1, 50, 350), measured(2, 200, 400), measured(3, 190, 150)]
CONFIRMED = [repeat(4, 0, 100, 300), repeat(5, 1, 50, 350), repeat(6, 2, 198, 420)]


def status_of(*trials):
    study = make_study(budget={"trials": 8}, promotion={"confirmations": 1, "mode": "Off"})
    return plan(snapshot(study, *trials), T0).status


def test_the_front_is_kept_while_the_study_goes_on():
    front = status_of(*SEARCHED).front
    assert [(p.trial, p.objective_value, p.limit_used_percent) for p in front] == [
        ("s-2-1", 200, [80]),
        ("s-3-1", 190, [30]),
    ]


def test_repeats_count_instead_of_the_run_that_chose_them():
    status = status_of(*SEARCHED, *CONFIRMED)
    assert [(p.trial, p.objective_value, p.limit_used_percent) for p in status.front] == [
        ("s-2-1", 198, [84]),
        ("s-3-1", 190, [30]),
    ]
    assert status.recommendation.choice == (
        "the highest figure of 2 on the front, which is the objective while the SLOs hold; s-3-1 gives 4 % less but "
        "takes 30 % of the TTFT p99 limit instead of 84 %"
    )


def test_what_breaks_an_slo_is_on_it_only_where_nothing_holds_them():
    broken = [make_trial(n, Outcome.INFEASIBLE, [at(100 + n, 600 + n, met=False)]) for n in range(3)]
    assert [p.trial for p in status_of(*broken, measured(3, 10, 100)).front] == ["s-3-1"]
    assert [p.trial for p in status_of(*broken).front] == ["s-2-1", "s-1-1", "s-0-1"]


def test_crashes_are_not_on_it():
    crashed = make_trial(2, Outcome.CRASHED)
    assert [p.trial for p in status_of(measured(0, 100, 300), feasible(1, 50), crashed).front] == ["s-0-1", "s-1-1"]


def test_it_is_bounded_and_the_recommended_one_stays():
    many = [measured(n, 200 + n, 10 * n) for n in range(2, 30)]
    study = make_study(budget={"trials": 60}, promotion={"confirmations": 0, "mode": "Off"})
    front = plan(snapshot(study, *SEARCHED[:2], *many), T0).status.front
    assert len(front) == 10
    assert front[0].trial == "s-29-1"
