"""When the search ends because nothing left is likely to matter; and what is recorded of expectations."""

import pytest

from sloguard.api.v1alpha1 import Outcome, Prediction, Purpose, Workload
from sloguard.engine.candidates import MOST_GAIN, prediction_of
from sloguard.engine.early_stop import (
    ASKS,
    LEAST_CHANCE,
    LEAST_KNOWN,
    all_served,
    chance_of,
    improvement_wanted,
    stops_early,
)
from sloguard.engine.known import know
from sloguard.engine.plan import plan
from sloguard.optimizer import Suggestion
from sloguard.optimizer.base import Veto
from tests.unit.engine.builders import (
    T0,
    World,
    baselines,
    condition,
    feasible,
    make_study,
    make_trial,
    rate,
    recorded,
    snapshot,
)

HOPELESS = Prediction(gain_permille=-20, gain_stddev_permille=15, feasible_permille=900, gpu_seconds=30)
PROMISING = Prediction(gain_permille=40, gain_stddev_permille=15, feasible_permille=900)


def searched(number, goodput, predicted):
    trial = feasible(number, goodput)
    return trial.model_copy(update={"spec": trial.spec.model_copy(update={"predicted": predicted})})


def history(predicted=HOPELESS, trials=LEAST_KNOWN, best=200):
    return [*baselines(), searched(2, best, None), *(searched(n, 90, predicted) for n in range(3, trials))]


def stopped(trials, asked=HOPELESS, minimum=5, **budget):
    study = make_study(budget={"trials": 30} | budget, promotion={"minimumImprovementPercent": minimum})
    known = know(snapshot(study, *trials), tuple(trials), T0)
    return stops_early(known, searched(len(trials), 0, asked).spec)


def test_several_asks_without_hope_end_it_and_say_what_is_saved():
    end = stopped(history())
    assert end.reason == "StoppedEarly"
    assert end.message == (
        "stopped after 12 of 30 trials: the best of what is left is expected at -2.0 ± 1.5 % of the best so far, and "
        "none of the last 5 suggestions had more than 0.0 % chance of the 5.0 % that would matter; this saves 13 "
        "trials, about 6 GPU-minutes; set budget.stopEarly to false to use them"
    )


def test_one_promising_ask_among_the_last_keeps_it_going():
    assert stopped(history(), PROMISING) is None
    for place in range(LEAST_KNOWN - ASKS + 1, LEAST_KNOWN):
        trials = history()
        trials[place] = searched(place, 90, PROMISING)
        assert stopped(trials) is None, place
    trials = history()
    trials[LEAST_KNOWN - ASKS] = searched(LEAST_KNOWN - ASKS, 90, PROMISING)
    assert stopped(trials) is not None, "longer ago"


def test_not_before_enough_is_known():
    assert stopped(history(trials=LEAST_KNOWN - 1)) is None


def test_not_where_the_study_does_not_want_it():
    assert stopped(history(), stopEarly=False) is None


def test_an_optimizer_that_expects_nothing_never_stops():
    assert stopped(history(None), None) is None
    assert stopped(history(None), HOPELESS) is None
    assert stopped(history(Prediction(objective=5)), HOPELESS) is None


def test_asks_from_before_the_last_repeat_do_not_count():
    """What was refused was the best that they were held against."""
    repeated = feasible(LEAST_KNOWN, 101, purpose=Purpose.PRODUCTION, parameters={"max_num_seqs": "2"})
    later = [searched(n, 90, HOPELESS) for n in range(LEAST_KNOWN + 1, LEAST_KNOWN + ASKS)]
    assert stopped([*history(), repeated, *later[:-1]]) is None
    assert stopped([*history(), repeated, *later]) is not None


@pytest.mark.parametrize(
    ("best", "minimum", "wanted"),
    [(200, 5, 0.05), (200, 0, 0.01), (103, 5, 105 / 103 - 1), (105, 5, 0.05), (104.9, 20, 120 / 104.9 - 1)],
)
def test_what_matters_is_a_winner_first_and_then_a_better_one(best, minimum, wanted):
    study = make_study(promotion={"minimumImprovementPercent": minimum})
    trials = history(best=best)
    assert improvement_wanted(know(snapshot(study, *trials), tuple(trials), T0)) == pytest.approx(wanted)


def test_the_chance_is_of_the_improvement_and_of_living():
    likely = Prediction(gain_permille=50, gain_stddev_permille=10, feasible_permille=800)
    assert chance_of(likely, 0.05) == pytest.approx(0.4)
    assert chance_of(likely, 0.06) == pytest.approx(0.8 * 0.1587, rel=1e-3)
    assert chance_of(HOPELESS, 0.05) < LEAST_CHANCE
    assert chance_of(None, 0.05) is None
    assert chance_of(Prediction(gain_permille=1), 0.05) is None


def test_a_prediction_is_recorded_in_whole_numbers():
    told = {
        "objective": 105.4,
        "best_objective": 100.0,
        "objective_stddev": 2.04,
        "crash_probability": 0.0314,
        "feasible_probability": 0.5,
        "expected_minutes": 1.5,
        "kv_cache_gib": 3.2,
    }
    veto = Veto({}, 0.9, "why")
    assert prediction_of(Suggestion({}, "", told, (veto, veto))) == Prediction(
        objective=105,
        gain_permille=54,
        gain_stddev_permille=20,
        crash_permille=31,
        feasible_permille=500,
        gpu_seconds=90,
        vetoes=2,
    )
    assert prediction_of(Suggestion({}, "")) is None
    assert prediction_of(Suggestion({}, "", {}, (veto,))) == Prediction(vetoes=1)
    wild = prediction_of(Suggestion({}, "", {"objective": -1e30, "best_objective": 1e-9, "objective_stddev": 1e30}))
    assert (wild.gain_permille, wild.gain_stddev_permille) == (-1000, 1000 * MOST_GAIN)


def served_all(good=100, sent=100, minimum=5, trials=LEAST_KNOWN, percent=100, met=True, **spec):
    rates = [rate(200, met, at, sent) for at in (50, percent)]
    best = make_trial(2, Outcome.FEASIBLE, [r.model_copy(update={"good": good}) for r in rates])
    given = [*baselines(), best, *(feasible(n, 90) for n in range(3, trials))]
    workload = spec.pop("workload", None)
    study = make_study(promotion={"minimumImprovementPercent": minimum}, **{"budget": {"trials": 30}} | spec)
    if workload is not None:
        study = study.model_copy(update={"spec": study.spec.model_copy(update={"workload": workload})})
    return all_served(know(snapshot(study, *given), tuple(given), T0))


def test_where_all_that_is_offered_is_served_nothing_can_be_better():
    assert served_all().reason == "AllServed"
    assert served_all().message == (
        "stopped after 12 of 30 trials: s-2-1 served 100 of 100 requests at 100 % of the rate within every SLO, so "
        "that nothing can be better there by 5 %; this saves 13 trials, about 6 GPU-minutes; set budget.stopEarly "
        "to false to use them, or workload.sweepPercent to compare at higher rates"
    )


def test_what_is_left_to_gain_has_to_be_less_than_the_minimum():
    assert served_all(good=96) is not None
    assert served_all(good=95) is None
    assert served_all(good=95, minimum=10) is not None
    assert served_all(good=98, minimum=0) is None


def test_nor_before_enough_is_known_nor_where_it_is_not_wanted_nor_for_another_objective():
    assert served_all(trials=LEAST_KNOWN - 1) is None
    assert served_all(budget={"trials": 30, "stopEarly": False}) is None
    assert served_all(objective="GoodputPerGPU") is None


def test_a_closed_loop_offers_the_more_the_faster_it_is_answered():
    lengths = {"promptTokens": {"mean": 64, "max": 64}, "outputTokens": {"mean": 16, "max": 16}}
    arrival = {"pattern": "ClosedLoop", "closedLoop": {"users": 32}}
    assert served_all(workload=Workload.model_validate({"arrival": arrival} | lengths)) is None


def test_a_sweep_that_ended_below_the_rate_did_not_serve_all_of_it():
    assert served_all(percent=80) is None


def test_a_candidate_that_was_refused_ends_nothing():
    """Its one good run was luck, and the search goes on."""
    first = make_trial(2, Outcome.FEASIBLE, [rate(200, sent=100)])
    repeats = [
        feasible(LEAST_KNOWN, 100, purpose=Purpose.PRODUCTION, parameters={"max_num_seqs": "2"}),
        feasible(LEAST_KNOWN + 1, 50, purpose=Purpose.DEFAULT, parameters={}),
        feasible(LEAST_KNOWN + 2, 100, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "12"}),
    ]
    trials = [*baselines(), first, *(feasible(n, 90) for n in range(3, LEAST_KNOWN))]
    study = make_study(budget={"trials": 30})
    assert recorded(plan(snapshot(study, *trials), T0)).spec.is_repeat
    assert recorded(plan(snapshot(study, *trials, *repeats), T0)).spec.purpose is Purpose.SEARCH


def test_a_study_that_has_found_its_best_stops_by_itself():
    """With margin-bo: what it expects stands in each trial's record, and most of the budget is left."""
    world = World(
        make_study(optimizer={"name": "margin-bo", "seed": 1}, budget={"trials": 60}),
        lambda t: min(float(t.spec.parameters.get("max_num_seqs", 32)), 100.0),
    )
    world.run()
    status = world.study.status
    assert condition(status, "SearchEnded").reason == "StoppedEarly"
    assert LEAST_KNOWN <= status.trials.total < 50
    assert world.trials[status.recommendation.trial].status.goodput_tokens_per_second == 100
    asked = [t for t in world.latest() if t.spec.purpose is Purpose.SEARCH]
    assert all(t.spec.predicted is not None for t in asked)
    assert any("The search ended: stopped after" in t.spec.reason for t in world.latest())
