"""Why the search ends, and how it goes on with what the gate's refusals leave of the budget."""

from sloguard.api.v1alpha1 import Outcome, Purpose, StudyPhase
from sloguard.engine.actions import RecordTrial
from sloguard.engine.plan import plan
from tests.unit.engine.builders import (
    T0,
    World,
    actions,
    baselines,
    condition,
    cut_short,
    feasible,
    make_study,
    make_trial,
    recorded,
    snapshot,
)


def study(trials=12, confirmations=1, **spec):
    return make_study(budget={"trials": trials}, promotion={"confirmations": confirmations}, **spec)


def repeat(number, of, goodput, **more):
    purpose = {0: Purpose.PRODUCTION, 1: Purpose.DEFAULT}.get(of, Purpose.CONFIRM)
    parameters = {0: {"max_num_seqs": "2"}, 1: {}}.get(of, {"max_num_seqs": str(10 + of)})
    return feasible(number, goodput, purpose=purpose, parameters=parameters, **more)


REFUSED = (*baselines(), feasible(2, 200), repeat(3, 0, 101), repeat(4, 1, 51), repeat(5, 2, 100))


def test_the_search_goes_on_when_its_candidate_is_refused():
    planned = plan(snapshot(study(), *REFUSED), T0)
    assert recorded(planned).spec.purpose is Purpose.SEARCH
    assert planned.status.phase is StudyPhase.SEARCHING
    found = condition(planned.status, "SearchEnded")
    assert (found.status.value, found.reason) == ("False", "SearchResumed")
    assert found.message.startswith("the search goes on with 6 trials left: s-2-1 gave 100 tokens/s over 1 repeat")
    assert any(event.reason == "SearchResumed" for event in planned.events)


def test_not_while_a_repeat_is_under_way():
    under_way = make_trial(6, purpose=Purpose.PRODUCTION, parameters={"max_num_seqs": "2"})
    planned = plan(snapshot(study(trial={"parallelism": 4}), *REFUSED, under_way), T0)
    assert not actions(planned, RecordTrial)


def test_what_it_finds_then_is_contested_beside_the_repeats_that_there_are():
    """Both baselines were repeated once and are beaten clearly, so the new candidate alone is repeated."""
    trials = [*REFUSED, *(feasible(n, 300 if n == 7 else 20) for n in range(6, 11))]
    planned = recorded(plan(snapshot(study(), *trials), T0))
    assert (planned.spec.purpose, planned.spec.parameters) == (Purpose.CONFIRM, {"max_num_seqs": "17"})
    assert planned.spec.reason.endswith("The search ended: 11 of 12 trials were made, the others are kept for repeats.")
    won = plan(snapshot(study(), *trials, repeat(11, 7, 299)), T0)
    assert won.status.recommendation.trial == "s-7-1"


def test_without_any_candidate_the_search_uses_what_would_have_been_kept_for_its_repeats():
    world = World(study(trials=30, confirmations=3))
    world.run()
    assert sum(t.spec.purpose is Purpose.SEARCH for t in world.latest()) == 30 - 2 - 4, "two repeats, one a baseline"
    assert condition(world.study.status, "SearchEnded").reason == "TrialsUsed"
    assert world.study.status.recommendation is None


def test_a_lucky_first_candidate_does_not_cost_the_study_its_winner():
    """Three look good in the search and are not; what is truly better comes after they were refused."""

    def late(trial):
        if trial.spec.purpose is not Purpose.SEARCH:
            return {"2": 10.0}.get(trial.spec.parameters.get("max_num_seqs"), late.true.get(key(trial), 32.0))
        late.true[key(trial)] = 90.0 if trial.spec.number > 20 else 32.0
        return 90.0 if trial.spec.number > 20 or trial.spec.number == 5 else 20.0

    def key(trial):
        return str(trial.spec.parameters)

    late.true = {}
    world = World(study(trials=40, confirmations=2), late)
    world.run()
    found = world.study.status.recommendation
    assert found is not None
    assert world.trials[found.trial].spec.number > 20
    assert len(world.latest()) <= 40


def test_so_many_refused_that_nothing_more_may_win_ends_the_search():
    firsts = [feasible(n, 200) for n in (2, 3, 4)]
    repeats = [repeat(10 + n, n, 100) for n in (2, 3, 4)]
    fillers = [feasible(n, 20) for n in range(5, 10)]
    baseline = repeat(10, 0, 101), repeat(11, 1, 51)
    trials = [*baselines(), *firsts, *fillers, *baseline, *repeats]
    planned = plan(snapshot(study(trials=60), *trials), T0)
    assert planned.status.phase is StudyPhase.COMPLETED
    assert condition(planned.status, "SearchEnded").reason == "CandidatesRefused"


def test_a_space_without_anything_new_ends_it():
    space = {"searchSpace": {"parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 3}}]}}
    world = World(study(trials=30, **space), lambda _: 100.0)
    world.run()
    assert condition(world.study.status, "SearchEnded").reason == "NothingLeft"


def test_gpu_minutes_end_it():
    spent = study(trials=50)
    spent = spent.model_copy(
        update={
            "spec": spent.spec.model_copy(update={"budget": spent.spec.budget.model_copy(update={"gpu_minutes": 3})})
        }
    )
    planned = plan(snapshot(spent, *baselines(), feasible(2, 10), make_trial(3, Outcome.CRASHED)), T0)
    assert condition(planned.status, "SearchEnded").reason == "MinutesUsed"


def test_the_reason_outlives_the_repeats():
    world = World(study(trials=8), lambda t: float(t.spec.parameters.get("max_num_seqs", 32)))
    world.run()
    assert world.study.status.recommendation is not None
    assert condition(world.study.status, "SearchEnded").reason == "TrialsUsed"


def test_after_any_restart_it_is_known_why_the_search_ended():
    """Cut short at each of the writes with which a study turns to repeats."""

    def serve(trial):
        return 300.0 if trial.spec.number == 4 or trial.spec.purpose is Purpose.CONFIRM else 100.0

    def at_the_turn():
        world = World(study(trials=10, confirmations=3), serve)
        for _ in range(30):
            if plan(world.gather(), world.now).status_first:
                return world
            world.step()
            world.work()
        raise AssertionError("the search never ended with a repeat")

    for world in cut_short(at_the_turn):
        world.run()
        assert condition(world.study.status, "SearchEnded").reason == "TrialsUsed"
