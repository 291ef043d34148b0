import math

import pytest

from sloguard.optimizer.scores import Score, crash_violation
from sloguard.optimizer.tba_chain import (
    COOLING,
    COOLING_BEFORE_FEASIBLE,
    HOTTEST,
    HOTTEST_AGAIN,
    STALL,
    energies_of,
    replayed,
)

CRASH = crash_violation(2)


def feasible(objective):
    return Score({}, objective, 0.0)


def infeasible(violation, objective=50.0):
    return Score({}, objective, violation)


def test_the_best_has_no_energy_and_a_crash_the_most():
    energies = energies_of([feasible(100), feasible(80), feasible(0), infeasible(1.0), infeasible(CRASH)], CRASH)
    assert energies == [0.0, pytest.approx(0.2), 1.0, pytest.approx(1.0 + math.sqrt(1.0 / CRASH)), 2.0]


def test_a_crash_is_never_preferred_to_the_slowest_server():
    slowest = 2 * math.log(10.0)
    energies = energies_of([infeasible(slowest), infeasible(CRASH)], CRASH)
    assert energies[0] < energies[1]


def test_nothing_known_is_nowhere():
    assert replayed([], CRASH, 5, seed=1).current is None


def test_it_begins_at_the_best_of_the_start():
    known = [infeasible(2.0), feasible(70), feasible(90), infeasible(CRASH), feasible(80)]
    chain = replayed(known, CRASH, 5, seed=1)
    assert (chain.current, chain.temperature, chain.restarts) == (2, HOTTEST, 0)


def test_it_cools_faster_once_something_met_the_slos():
    searching = [infeasible(2.0 - i / 10) for i in range(8)]
    assert replayed(searching, CRASH, 5, seed=1).temperature == pytest.approx(COOLING_BEFORE_FEASIBLE**3)
    climbing = [feasible(50.0 + i) for i in range(8)]
    assert replayed(climbing, CRASH, 5, seed=1).temperature == pytest.approx(COOLING**3)


def test_it_goes_along_with_what_is_better():
    climbing = [feasible(50.0 + i) for i in range(12)]
    assert replayed(climbing, CRASH, 5, seed=1).current == 11


def test_cold_it_stays_where_it_is_and_hot_it_also_goes_down():
    climb = [feasible(100.0 + i) for i in range(60)]
    assert replayed([*climb, feasible(30.0)], CRASH, 5, seed=1).current == 59
    went = [replayed([*climb[:5], feasible(95.0)], CRASH, 5, seed).current == 5 for seed in range(40)]
    assert 10 < sum(went) < 40


def test_a_stall_heats_it_up_and_starts_again_from_one_of_the_best():
    climb = [feasible(100.0 + i) for i in range(40)]
    stuck = replayed([*climb, *[feasible(10.0)] * (STALL - 1)], CRASH, 5, seed=2)
    assert (stuck.stalled, stuck.restarts) == (STALL - 1, 0)
    again = replayed([*climb, *[feasible(10.0)] * STALL], CRASH, 5, seed=2)
    assert (again.stalled, again.restarts) == (0, 1)
    assert stuck.temperature < again.temperature <= HOTTEST_AGAIN
    assert again.current in {37, 38, 39}
