import math

from sloguard.api.v1alpha1 import KnobName, Outcome, SearchSpace
from sloguard.domain.result import VIOLATION_CAP, Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.scores import crash_violation, pessimistic, scores

K = KnobName
SPACE = make_space(SearchSpace(), {}, Context())


def result(number, outcome, objective=None, ratios=(), seqs=None):
    return Result(number, {K.MAX_NUM_SEQS: seqs or 10 + number}, outcome, objective, tuple(ratios))


def ranked(*results):
    return [score.parameters[K.MAX_NUM_SEQS] - 10 for score in sorted(scores(SPACE, results), key=lambda s: s.rank)]


def test_feasible_by_objective_then_infeasible_by_violation_then_crashed():
    assert ranked(
        result(0, Outcome.CRASHED),
        result(1, Outcome.INFEASIBLE, 9999.0, [VIOLATION_CAP, VIOLATION_CAP]),
        result(2, Outcome.FEASIBLE, 100.0, [0.9, 0.9]),
        result(3, Outcome.INFEASIBLE, 1.0, [1.1, 0.5]),
        result(4, Outcome.FEASIBLE, 200.0, [0.99, 0.9]),
    ) == [4, 2, 3, 1, 0]


def test_a_crash_is_worse_than_the_worst_live_server_whatever_the_ratios():
    worst = result(0, Outcome.INFEASIBLE, 0.0, [math.inf, math.nan, 1e9])
    assert scores(SPACE, [worst])[0].violation < crash_violation(3)
    assert ranked(result(1, Outcome.CRASHED), worst) == [0, 1]


def test_met_slos_count_nothing_and_repeats_are_averaged():
    found = scores(
        SPACE,
        [
            result(0, Outcome.FEASIBLE, 100.0, [0.2], seqs=8),
            result(1, Outcome.INFEASIBLE, 200.0, [math.e], seqs=8),
        ],
    )
    assert len(found) == 1
    assert found[0].objective == 150.0
    assert math.isclose(found[0].violation, 0.5)


def test_infeasible_without_a_reason_is_still_infeasible():
    for ratios in ([], [0.5]):
        assert not scores(SPACE, [result(0, Outcome.INFEASIBLE, 5.0, ratios)])[0].feasible


def test_feasible_without_a_figure_is_no_success():
    for figure in (None, math.nan, math.inf):
        assert not scores(SPACE, [result(0, Outcome.FEASIBLE, figure, [0.5])])[0].feasible


def test_a_trial_under_way_is_assumed_as_bad_as_the_worst_live_one():
    known = scores(
        SPACE,
        [
            result(0, Outcome.FEASIBLE, 100.0, [0.5]),
            result(1, Outcome.INFEASIBLE, 50.0, [3.0]),
            result(2, Outcome.CRASHED),
        ],
    )
    assumed = pessimistic(known, {K.MAX_NUM_SEQS: 99})
    assert assumed.violation == known[1].violation
    assert not pessimistic([], {}).feasible
    assert pessimistic([], {}).violation < crash_violation(1)
