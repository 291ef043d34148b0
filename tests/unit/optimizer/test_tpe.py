import math

import pytest

from sloguard.api.v1alpha1 import KnobName, OptimizerName, Outcome, SearchSpace
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_optimizer, make_space
from sloguard.optimizer.tpe import STARTUP

K = KnobName
SPACE = make_space(SearchSpace(), {}, Context(min_model_len_tokens=2048))


def served(number, values):
    """A server that runs out of memory above a line and serves the more, the nearer it comes to that line."""
    need = values[K.GPU_MEMORY_UTILIZATION] + math.log2(values[K.MAX_NUM_SEQS]) / 40
    if need > 1.1:
        return Result(number, values, Outcome.CRASHED)
    seqs = values[K.MAX_NUM_SEQS] * (0.5 if values[K.ENFORCE_EAGER] else 1)
    ratio = values[K.MAX_NUM_BATCHED_TOKENS] / 8192
    outcome = Outcome.FEASIBLE if ratio <= 1 else Outcome.INFEASIBLE
    return Result(number, values, outcome, objective=seqs, violation_ratios=(ratio,))


def search(name, seed, trials=40):
    optimizer, history = make_optimizer(name, SPACE, seed), []
    for number in range(trials):
        history.append(served(number, optimizer.ask(history, []).parameters))
    return history


def best(history):
    return max((result.objective for result in history if result.outcome is Outcome.FEASIBLE), default=0)


def test_it_crashes_less_and_finds_more_than_random():
    tpe = [search(OptimizerName.TPE, seed) for seed in range(3)]
    random = [search(OptimizerName.RANDOM, seed) for seed in range(3)]
    crashes = [sum(r.outcome is Outcome.CRASHED for h in runs for r in h) for runs in (tpe, random)]
    assert crashes[0] < 0.8 * crashes[1]
    assert sum(map(best, tpe)) >= sum(map(best, random))


def test_it_says_that_it_is_still_covering_the_space():
    suggestion = make_optimizer(OptimizerName.TPE, SPACE, 1).ask([], [])
    assert f"configuration 1 of {STARTUP}" in suggestion.reason


def test_it_says_what_it_changes_against_the_best():
    history = search(OptimizerName.TPE, 1, 12)
    suggestion = make_optimizer(OptimizerName.TPE, SPACE, 1).ask(history, [])
    met = sum(result.outcome is Outcome.FEASIBLE for result in history)
    assert f"best of 12 configurations known ({met} met the SLOs)" in suggestion.reason
    assert "against the best so far: " in suggestion.reason
    assert " -> " in suggestion.reason


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.INFEASIBLE])
def test_it_says_so_when_nothing_met_the_slos_yet(outcome):
    spread = search(OptimizerName.RANDOM, 1, 10)
    failed = [Result(r.number, r.parameters, outcome, violation_ratios=(3.0,)) for r in spread]
    assert "none of 10 configurations known met the SLOs" in (
        make_optimizer(OptimizerName.TPE, SPACE, 1).ask(failed, []).reason
    )


def test_pending_trials_push_it_elsewhere():
    history = search(OptimizerName.TPE, 2, 15)
    optimizer = make_optimizer(OptimizerName.TPE, SPACE, 2)
    first = optimizer.ask(history, []).parameters
    second = optimizer.ask(history, [first]).parameters
    assert SPACE.key(first) != SPACE.key(second)
