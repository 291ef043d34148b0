from sloguard.api.v1alpha1 import KnobName, OptimizerName, Outcome
from sloguard.domain.result import Result
from sloguard.optimizer import make_optimizer
from sloguard.optimizer.tba_tpe import BAD, FEASIBLE, LATEST, TRIALS, handed_over
from tests.unit.optimizer.made_up_server import SPACE, best, crashes, search

K = KnobName


def results(feasible, bad):
    good = [Result(i, {K.MAX_NUM_SEQS: 8 + i}, Outcome.FEASIBLE, 1.0, (0.5,)) for i in range(feasible)]
    return good + [Result(100 + i, {K.MAX_NUM_SEQS: 60 + i}, Outcome.CRASHED) for i in range(bad)]


def test_it_hands_over_when_both_good_and_bad_are_known():
    assert handed_over(results(FEASIBLE, BAD))
    assert not handed_over(results(FEASIBLE - 1, BAD))
    assert not handed_over(results(FEASIBLE, BAD - 1))
    assert FEASIBLE + BAD >= TRIALS


def test_it_hands_over_at_the_latest_after_a_dozen():
    assert handed_over(results(LATEST, 0))
    assert handed_over(results(0, LATEST))
    assert not handed_over(results(0, LATEST - 1))


def test_before_it_is_tba_and_afterwards_tpe_with_the_whole_history():
    history = search(OptimizerName.TBA, 5, 20)
    tba, tba_tpe = (make_optimizer(name, SPACE, 5) for name in (OptimizerName.TBA, OptimizerName.TBA_TPE))
    early = next(i for i in range(21) if handed_over(history[:i])) - 1
    assert tba_tpe.ask(history[:early], []) == tba.ask(history[:early], [])
    suggestion = tba_tpe.ask(history, [])
    assert suggestion.reason.startswith("Handed over from annealing after 20 trials. TPE: ")
    assert "of 20 configurations known" in suggestion.reason


def test_it_crashes_less_than_random_and_finds_at_least_as_much():
    hybrid = [search(OptimizerName.TBA_TPE, seed, 28) for seed in range(3)]
    random = [search(OptimizerName.RANDOM, seed, 28) for seed in range(3)]
    assert sum(map(crashes, hybrid)) < 0.85 * sum(map(crashes, random))
    assert sum(map(best, hybrid)) >= sum(map(best, random))
