"""A study confirms what its optimizer's model believes in, and asks it only when a first repeat is due."""

from sloguard.api.v1alpha1 import Purpose, StudyPhase
from sloguard.engine import beliefs
from sloguard.engine.plan import plan
from tests.unit.engine.builders import T0, baselines, feasible, make_study, recorded, snapshot

GOOD, LUCKY = range(100, 124, 3), 240
"""Of max_num_seqs: where all serve much, and where one trial seemed to serve more than any of them."""


def searched():
    """Baselines, then as many trials as the budget leaves to the search."""
    figures = {seqs: 300 + seqs % 3 for seqs in GOOD} | dict.fromkeys(range(200, 256, 8), 150) | {LUCKY: 306}
    trials = enumerate(figures.items(), start=2)
    found = [feasible(number, figure, parameters={"max_num_seqs": str(seqs)}) for number, (seqs, figure) in trials]
    return [*baselines(), *found]


def study(optimizer, confirmations=2):
    # Beside the candidate's, one repeat of each baseline.
    repeats = confirmations + 2 if confirmations else 0
    budget = {"trials": len(searched()) + repeats, "stopEarly": False}
    promotion = {"confirmations": confirmations, "minimumImprovementPercent": 5}
    return make_study(optimizer={"name": optimizer, "seed": 3}, budget=budget, promotion=promotion)


def first_confirmed(optimizer):
    trials = searched()
    while True:
        spec = recorded(plan(snapshot(study(optimizer), *trials), T0)).spec
        if spec.purpose is Purpose.CONFIRM:
            return int(spec.parameters["max_num_seqs"])
        figure = 100 if spec.purpose is Purpose.PRODUCTION else 50
        trials.append(feasible(spec.number, figure, purpose=spec.purpose, parameters=spec.parameters))


def test_a_lucky_figure_is_not_confirmed_first_where_a_model_knows_better():
    assert first_confirmed("tpe") == LUCKY
    assert first_confirmed("margin-bo") in GOOD


def test_without_confirmations_the_model_decides_what_is_recommended():
    ended = {
        name: plan(snapshot(study(name, confirmations=0), *searched()), T0).status for name in ("tpe", "margin-bo")
    }
    seqs = {name: int(status.recommendation.parameters["max_num_seqs"]) for name, status in ended.items()}
    assert seqs["tpe"] == LUCKY
    assert seqs["margin-bo"] in GOOD
    assert {status.phase for status in ended.values()} == {StudyPhase.COMPLETED}


def test_nothing_is_believed_while_a_candidate_is_being_repeated(monkeypatch):
    trials = [*searched()]
    number = len(trials)
    parameters = {"max_num_seqs": str(GOOD[0])}
    trials.append(feasible(number, 300, purpose=Purpose.CONFIRM, parameters=parameters))
    monkeypatch.setattr(beliefs, "believed", lambda *_: 1 / 0)
    assert recorded(plan(snapshot(study("margin-bo"), *trials), T0)).spec.is_repeat
