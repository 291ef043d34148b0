from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import KnobName, OptimizerName, Outcome
from sloguard.domain.result import VIOLATION_CAP, Result
from sloguard.optimizer import make_optimizer
from sloguard.optimizer.tba import START, _Step
from tests.unit.optimizer.made_up_server import SPACE, best, crashes, search

K = KnobName


@pytest.fixture(scope="module")
def searches():
    return [search(OptimizerName.TBA, seed, 28) for seed in range(3)]


def ask(history, pending=(), seed=1):
    return make_optimizer(OptimizerName.TBA, SPACE, seed).ask(history, list(pending))


def test_it_crashes_less_and_finds_more_than_random(searches):
    random = [search(OptimizerName.RANDOM, seed, 28) for seed in range(3)]
    assert sum(map(crashes, searches)) < 0.7 * sum(map(crashes, random))
    assert sum(map(best, searches)) > sum(map(best, random))


def test_no_trial_is_a_duplicate(searches):
    for history in searches:
        assert len({SPACE.key(result.parameters) for result in history}) == len(history)


def test_it_says_that_it_is_still_covering_the_space():
    assert f"configuration 1 of {START}" in ask([]).reason


def test_it_says_where_it_stands_and_what_it_changes(searches):
    suggestion = ask(searches[0][:12])
    assert suggestion.reason.startswith("TBA at temperature 0.")
    assert "anneals towards a higher objective; against where it stands: " in suggestion.reason
    assert " -> " in suggestion.reason


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.INFEASIBLE])
def test_it_says_so_while_nothing_met_the_slos(outcome):
    spread = search(OptimizerName.RANDOM, 1, 10)
    failed = [Result(r.number, r.parameters, outcome, violation_ratios=(3.0,)) for r in spread]
    assert "towards the SLOs, which nothing has met yet" in ask(failed).reason


def test_it_would_rather_be_slow_than_crash():
    """As slow as counts, on one side; crashes on the other: the chain stays with the slow ones."""
    spread = search(OptimizerName.RANDOM, 3, 24)
    history = []
    for result in spread:
        slow = result.parameters[K.GPU_MEMORY_UTILIZATION] < 0.79
        outcome = Outcome.INFEASIBLE if slow else Outcome.CRASHED
        history.append(
            Result(result.number, result.parameters, outcome, 1.0 if slow else None, (VIOLATION_CAP,) * slow)
        )
    asked = [ask(history, seed=seed).parameters[K.GPU_MEMORY_UTILIZATION] for seed in range(8)]
    assert sum(utilization < 0.79 for utilization in asked) >= 6


def test_it_predicts_once_its_forests_have_proved_themselves(searches):
    suggestion = ask(searches[0])
    assert {"crash_probability", "feasible_probability"} & set(suggestion.predicted)
    assert "objective" not in ask(searches[0][:8]).predicted


def test_repeats_move_neither_the_chain_nor_the_schedule(searches):
    history = searches[0][:15]
    again = replace(history[4], number=50)
    first, second = ask(history), ask([*history, again])
    assert first.reason.split(" anneals")[0] == second.reason.split(" anneals")[0]


def test_forests_take_a_trial_under_way_for_a_bad_one(searches):
    history = searches[0][:20]
    first = ask(history)
    again = ask(history, [first.parameters])
    assert SPACE.key(again.parameters) != SPACE.key(first.parameters)
    step = _Step(make_optimizer(OptimizerName.TBA, SPACE, 1), tuple(history), (first.parameters,), frozenset())
    assert [score.parameters for score in step.assumed] == [first.parameters]
    assert step.assumed[0].rank >= max(score.rank for score in step.known if score.feasible)
