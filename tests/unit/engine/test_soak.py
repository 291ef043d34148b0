"""What is recommended or promoted has outlived its worst-case load: who is soaked, when, and what follows."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from sloguard.api.v1alpha1 import (
    CrashClass,
    KnobName,
    Margins,
    Outcome,
    Platform,
    Purpose,
    ServerCounters,
    StudyPhase,
    TrialPhase,
    Violations,
)
from sloguard.domain.evidence import Evidence
from sloguard.domain.ledger import Setup, record_of
from sloguard.engine import budget
from sloguard.engine.actions import RecordTrial, StartLoad
from sloguard.engine.candidates import history
from sloguard.engine.load_request import generators_of, load_request_of
from sloguard.engine.plan import plan
from sloguard.engine.progress import LOAD_GRACE, advance, load_limit_seconds
from sloguard.engine.snapshot import Load, LoadState, ServerState
from sloguard.engine.soak import full_batch
from sloguard.measure.request import Soak
from tests.unit.engine.builders import (
    OOM,
    PULL,
    T0,
    World,
    actions,
    baselines,
    condition,
    feasible,
    is_stalled,
    make_study,
    make_trial,
    rate,
    recorded,
    result,
    seen,
    snapshot,
)

SECONDS = 60
LATE = Evidence(
    log="INFO the server is up\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
    ended=True,
    exit_code=0,
    became_ready=True,
)


def soaking(**spec):
    promotion = {"soakSeconds": SECONDS} | spec.pop("promotion", {})
    return make_study(promotion=promotion, **spec)


def grows(trial):
    """The more sequences, the better."""
    return float(trial.spec.parameters.get("max_num_seqs", 1))


def soak_of(first, number, outcome=None, seconds=SECONDS, **more):
    parameters = first.spec.parameters
    trial = make_trial(number, outcome, purpose=Purpose.SOAK, parameters=parameters, **more)
    return trial.model_copy(update={"spec": trial.spec.model_copy(update={"soak_seconds": seconds})})


@dataclass
class Mortal(World):
    """Servers of `dying` configurations die in the middle of a soak, and in nothing else."""

    dying: set = field(default_factory=set)

    def work(self) -> None:
        super().work()
        for name in list(self.loads):
            trial = self.trials[name]
            if trial.spec.purpose is Purpose.SOAK and self.is_dying(trial):
                self.servers[name] = replace(self.servers[name], state=ServerState.ENDED, evidence=LATE)
                self.loads[name] = Load(LoadState.DONE, result(fault_at=self.now))

    def is_dying(self, trial):
        return trial.spec.parameters.get("max_num_seqs") in self.dying

    def soaks(self):
        return [t for t in self.latest() if t.spec.purpose is Purpose.SOAK]


class Doomed(Mortal):
    def is_dying(self, _trial):
        return True


def confirmed(best=200.0):
    """Baselines, a candidate, and one confirmation of each that it wins by."""
    first = [*baselines(), feasible(2, best), feasible(3, 10)]
    again = [
        feasible(4, 100, purpose=Purpose.PRODUCTION, parameters={"max_num_seqs": "2"}),
        feasible(5, 50, purpose=Purpose.DEFAULT, parameters={}),
        feasible(6, best, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "12"}),
    ]
    return [*first, *again]


# who is soaked


def test_the_winner_is_soaked_before_it_is_recommended():
    planned = plan(snapshot(soaking(), *confirmed()), T0)
    soak = recorded(planned)
    assert (soak.name, soak.spec.purpose, soak.spec.parameters) == ("s-7-1", Purpose.SOAK, {"max_num_seqs": "12"})
    assert soak.spec.soak_seconds == SECONDS
    assert soak.spec.reason.startswith("s-2-1 has to outlive its worst-case load for 60 s before it is recommended.")
    assert planned.status.recommendation is None
    assert planned.status.phase is StudyPhase.CONFIRMING


def test_without_soak_seconds_nothing_is_soaked():
    planned = plan(snapshot(make_study(), *confirmed()), T0)
    assert not actions(planned, RecordTrial)
    assert planned.status.recommendation.trial == "s-2-1"
    assert planned.status.recommendation.soaked_seconds == 0


def test_what_outlived_its_soak_is_recommended_and_says_so():
    trials = confirmed()
    planned = plan(snapshot(soaking(), *trials, soak_of(trials[2], 7, Outcome.FEASIBLE)), T0)
    recommendation = planned.status.recommendation
    assert (recommendation.trial, recommendation.soaked_seconds) == ("s-2-1", SECONDS)
    assert "; it outlived 60 s of its worst-case load" in recommendation.reason


def test_one_soak_at_a_time_whatever_may_run_at_once():
    trials = confirmed()
    planned = plan(snapshot(soaking(trial={"parallelism": 4}), *trials, soak_of(trials[2], 7)), T0)
    assert not actions(planned, RecordTrial)


def test_a_soak_that_was_too_short_is_made_again_as_long_as_is_wanted_now():
    trials = confirmed()
    again = recorded(plan(snapshot(soaking(), *trials, soak_of(trials[2], 7, Outcome.FEASIBLE, seconds=59)), T0))
    assert (again.name, again.spec.soak_seconds) == ("s-8-1", SECONDS)


def test_the_defaults_are_soaked_too_where_they_win():
    first = [feasible(0, 10), feasible(1, 100), feasible(2, 5)]
    study = soaking(budget={"trials": 3}, promotion={"confirmations": 0})
    soak = recorded(plan(snapshot(study, *first), T0))
    assert (soak.spec.purpose, soak.spec.parameters) == (Purpose.SOAK, {})


def test_where_nothing_is_confirmed_the_best_is_soaked_after_the_search():
    study = soaking(budget={"trials": 4}, promotion={"confirmations": 0})
    best = feasible(2, 200)
    assert recorded(plan(snapshot(study, *baselines(), best), T0)).spec.purpose is Purpose.SEARCH
    soak = recorded(plan(snapshot(study, *baselines(), best, feasible(3, 150)), T0))
    assert (soak.spec.purpose, soak.spec.parameters) == (Purpose.SOAK, {"max_num_seqs": "12"})
    assert "The search ended" in soak.spec.reason


# what follows from its end


def test_a_late_death_passes_the_configuration_over_and_takes_the_next():
    world = Mortal(soaking(budget={"trials": 20}), grows)
    world.run()
    winner = world.study.status.recommendation
    assert [t.spec.parameters for t in world.soaks()] == [winner.parameters]
    strongest = winner.parameters[KnobName.MAX_NUM_SEQS]

    world = Mortal(soaking(budget={"trials": 20}), grows, dying={strongest})
    world.run()
    dead, lived = world.soaks()
    assert dead.spec.parameters == {"max_num_seqs": strongest}
    assert (dead.status.outcome, dead.status.crash.class_) == (Outcome.CRASHED, CrashClass.CUDA_OUT_OF_MEMORY)
    recommendation = world.study.status.recommendation
    assert recommendation.parameters == lived.spec.parameters != dead.spec.parameters
    assert lived.status.outcome is Outcome.FEASIBLE
    assert world.phase is StudyPhase.COMPLETED
    assert f"{dead.name}-finished-crashed" in world.events


@pytest.mark.parametrize("confirmations", [0, 1, 3])
def test_where_every_soak_ends_in_a_crash_production_is_kept_and_the_study_ends(confirmations):
    world = Doomed(soaking(budget={"trials": 20}, promotion={"confirmations": confirmations}), grows)
    world.run(most=2000)
    status = world.study.status
    assert status.recommendation is None
    assert (world.phase, condition(status, "Ready").reason) == (StudyPhase.COMPLETED, "NoImprovement")
    assert "did not outlive its worst-case load" in condition(status, "Ready").message
    soaked = [str(t.spec.parameters) for t in world.soaks()]
    assert len(soaked) == len(set(soaked)), "each configuration once"
    assert status.trials.crashed == len(soaked) > 0


def test_the_search_knows_what_died_and_does_not_propose_it_again():
    world = Doomed(soaking(budget={"trials": 12}, promotion={"confirmations": 1}), grows)
    world.run(most=1000)
    dead = {str(t.spec.parameters): t.spec.number for t in world.soaks()}
    later = [t for t in world.latest() if t.spec.purpose is Purpose.SEARCH]
    assert not [t for t in later if t.spec.number > dead.get(str(t.spec.parameters), 10_000)]


def test_a_death_teaches_as_every_crash_does_and_a_life_gives_no_figure():
    trials = confirmed()
    crash = Outcome.CRASHED
    died = soak_of(trials[2], 7, crash, crash={"class": "CUDAOutOfMemory", "fault": "Configuration"})
    told = history(soaking(), [*trials, died], 100)
    assert (told[-1].number, told[-1].outcome, told[-1].parameters) == (7, crash, {"max_num_seqs": 12})
    assert record_of(died, "run", Setup()).crashed
    lived = soak_of(trials[2], 7, Outcome.FEASIBLE)
    assert len(history(soaking(), [*trials, lived], 100)) == len(trials)
    assert not record_of(lived, "run", Setup()).crashed, "what it had to hold fits into memory"


def test_a_soak_is_in_no_figure_of_the_study():
    trials = confirmed()
    with_it = plan(snapshot(soaking(), *trials, soak_of(trials[2], 7, Outcome.FEASIBLE)), T0).status
    without = plan(snapshot(make_study(), *trials), T0).status
    for name in ("baseline", "best", "front", "noise", "comparison_rate_percent"):
        assert getattr(with_it, name) == getattr(without, name)
    assert with_it.recommendation.objective_value == without.recommendation.objective_value


def test_what_died_in_a_soak_is_not_on_the_front():
    trials = confirmed()
    status = plan(snapshot(soaking(), *trials, soak_of(trials[2], 7, Outcome.CRASHED)), T0).status
    assert "s-2-1" not in [point.trial for point in status.front]


def test_a_fault_of_infrastructure_is_tried_again_and_the_search_does_not_go_on_meanwhile():
    trials = confirmed()
    failed = soak_of(trials[2], 7, Outcome.INFRASTRUCTURE)
    later = T0 + timedelta(hours=1)
    again = recorded(plan(snapshot(soaking(budget={"trials": 50}), *trials, failed), later))
    assert (again.name, again.spec.purpose, again.spec.soak_seconds) == ("s-7-2", Purpose.SOAK, SECONDS)
    zero = soaking(budget={"trials": 50}, promotion={"confirmations": 0})
    first = [*baselines(), feasible(2, 200)]
    again = recorded(plan(snapshot(zero, *first, soak_of(first[2], 3, Outcome.INFRASTRUCTURE)), later))
    assert again.name == "s-3-2"


def test_a_soak_that_fails_for_good_needs_a_person():
    study = soaking(budget={"trials": 5}, promotion={"confirmations": 0})
    world = World(study, lambda t: PULL if t.spec.purpose is Purpose.SOAK else grows(t))
    world.run()
    assert is_stalled(world.study.status)
    assert world.study.status.recommendation is None
    assert condition(world.study.status, "Stalled").reason == "ImagePullFailed"


def test_a_soak_is_not_owed_any_more_where_the_study_no_longer_wants_one():
    trials = confirmed()
    failed = soak_of(trials[2], 7, Outcome.CANCELLED)
    planned = plan(snapshot(make_study(), *trials, failed), T0)
    assert not actions(planned, RecordTrial)
    assert planned.status.recommendation.trial == "s-2-1"


def test_a_winner_that_lives_ends_the_search_for_good():
    """Also where no repeat says so, and where the budget has trials left."""
    study = soaking(budget={"trials": 50}, promotion={"confirmations": 0})
    first = [*baselines(), feasible(2, 200)]
    planned = plan(snapshot(study, *first, soak_of(first[2], 3, Outcome.FEASIBLE)), T0)
    assert not actions(planned, RecordTrial)
    assert planned.status.recommendation.trial == "s-2-1"


# what it costs


def test_a_soak_costs_gpu_minutes_and_no_trial():
    trials = confirmed()
    soak = soak_of(trials[2], 7, Outcome.FEASIBLE, gpu_seconds=500)
    used = budget.spent(snapshot(soaking()), [*trials, soak], T0)
    assert (used.trials, used.gpu_seconds) == (7, 7 * 30 + 500)
    assert used.a_trial_gpu_seconds == 30, "no other trial takes as long"
    full = soaking(budget={"trials": 7})
    assert recorded(plan(snapshot(full, *trials), T0)).spec.purpose is Purpose.SOAK


def test_what_a_soak_will_take_is_its_time_and_a_start_on_all_gpus():
    started = feasible(0, 10, ready_at=T0 + timedelta(seconds=20), gpus=2, gpu_seconds=60)
    used = budget.spent(snapshot(soaking()), [started], T0)
    assert (used.a_soak_gpu_seconds, used.a_soak_seconds) == (2 * SECONDS + 40, SECONDS + 20)
    used = budget.spent(snapshot(make_study()), [started], T0)
    assert (used.a_soak_gpu_seconds, used.a_soak_seconds) == (0, 0)


def test_the_search_leaves_minutes_for_the_soak():
    """90 s are used; another trial, its two repeats and their baseline's would take 120 s."""
    trials = [*baselines(), feasible(2, 10)]
    for seconds, minutes, searched in ((0, 4, True), (60, 4, False), (60, 6, True)):
        study = soaking(budget={"trials": 50, "gpuMinutes": minutes}, promotion={"soakSeconds": seconds})
        wanted = actions(plan(snapshot(study, *trials), T0), RecordTrial)
        assert bool([a for a in wanted if a.spec.purpose is Purpose.SEARCH]) is searched


def test_where_the_minutes_are_over_it_is_recommended_with_the_word_that_it_was_not_soaked():
    study = soaking(budget={"gpuMinutes": 4})
    planned = plan(snapshot(study, *confirmed()), T0)
    assert not actions(planned, RecordTrial)
    recommendation = planned.status.recommendation
    assert (recommendation.trial, recommendation.soaked_seconds) == ("s-2-1", 0)
    assert "it did NOT have to outlive its worst-case load" in recommendation.reason
    assert "too little is left for a soak of 60 s" in condition(planned.status, "Ready").message


def test_the_wall_clock_counts_for_a_soak_too():
    study = soaking(budget={"wallClockMinutes": 2})
    planned = plan(snapshot(study, *confirmed(), feasible(7, 1, finished_at=T0 + timedelta(seconds=90))), T0)
    assert "minutes, too little is left for a soak of 60 s" in planned.status.recommendation.reason


# before a promotion


def approved(world, name):
    world.change(promotion={"approved_trial": name})
    return world


def manual(**spec):
    return soaking(promotion={"mode": "Manual"}, **spec)


def test_what_was_soaked_when_it_was_recommended_is_promoted_at_once():
    world = Mortal(manual(), grows)
    world.run()
    soaks = len(world.soaks())
    approved(world, world.study.status.recommendation.trial).run()
    assert world.phase is StudyPhase.COMPLETED
    assert len(world.soaks()) == soaks == 1
    assert world.applied


def test_another_trial_that_a_person_names_is_soaked_first():
    world = Mortal(manual(), grows)
    world.run()
    recommended = world.study.status.recommendation
    other = next(t for t in world.latest() if t.spec.purpose is Purpose.SEARCH and t.name != recommended.trial)
    approved(world, other.name).step()
    soak = world.soaks()[-1]
    assert soak.spec.parameters == other.spec.parameters
    assert "before it is promoted" in soak.spec.reason
    assert world.phase is StudyPhase.CONFIRMING
    assert not world.applied
    world.run()
    assert world.trials[soak.name].status.outcome is Outcome.FEASIBLE
    assert world.phase is StudyPhase.COMPLETED
    assert world.study.status.promotion.trial == other.name
    assert world.study.status.recommendation == recommended


def test_one_that_dies_before_its_promotion_is_not_promoted_and_another_may_be_named():
    world = Mortal(manual(), grows)
    world.run()
    recommended = world.study.status.recommendation
    other = next(t for t in world.latest() if t.spec.purpose is Purpose.SEARCH and t.name != recommended.trial)
    world.dying = {other.spec.parameters[KnobName.MAX_NUM_SEQS]}
    approved(world, other.name).run()
    stalled = condition(world.study.status, "Stalled")
    assert (world.phase, stalled.reason) == (StudyPhase.AWAITING_APPROVAL, "SoakFailed")
    assert stalled.status.value == "True"
    assert f"({world.soaks()[-1].name}: CUDAOutOfMemory" in stalled.message
    assert not world.applied
    approved(world, recommended.trial).run()
    assert world.study.status.promotion.trial == recommended.trial


def test_what_could_not_be_soaked_is_not_promoted_before_it_could():
    """Automatic: the minutes are used up; a person raises them; it is soaked and goes to production."""
    study = soaking(budget={"gpuMinutes": 4}, promotion={"mode": "Automatic"})
    world = Mortal(study)
    world.trials = {t.name: t for t in confirmed()}
    world.run()
    stalled = condition(world.study.status, "Stalled")
    assert (world.phase, stalled.reason) == (StudyPhase.AWAITING_APPROVAL, "NotSoaked")
    assert "Raise spec.budget, or set spec.promotion.soakSeconds to 0" in stalled.message
    assert not world.applied
    world.change(budget={"gpu_minutes": 60})
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert [t.status.outcome for t in world.soaks()] == [Outcome.FEASIBLE]
    assert world.applied


def test_without_a_soak_wanted_any_more_it_is_promoted_all_the_same():
    world = Mortal(soaking(budget={"gpuMinutes": 4}, promotion={"mode": "Automatic"}))
    world.trials = {t.name: t for t in confirmed()}
    world.run()
    world.change(promotion={"soak_seconds": 0})
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert world.applied
    assert not world.soaks()


def test_a_soak_before_a_promotion_is_tried_again_after_a_fault_of_infrastructure():
    trials = confirmed()
    study = make_study(promotion={"mode": "Manual", "soakSeconds": SECONDS, "approvedTrial": "s-3-1"})
    ended = study.status.model_copy(update={"finished_at": T0, "phase": StudyPhase.AWAITING_APPROVAL})
    study = study.model_copy(update={"status": ended})
    failed = soak_of(trials[3], 7, Outcome.INFRASTRUCTURE)
    pausing = plan(snapshot(study, *trials, failed), T0 + timedelta(seconds=31))
    assert not actions(pausing, RecordTrial)
    assert condition(pausing.status, "Ready").reason == "BackingOff"
    assert recorded(plan(snapshot(study, *trials, failed), T0 + timedelta(hours=1))).name == "s-7-2"


def test_a_soak_itself_is_nothing_to_promote():
    world = Mortal(manual(), grows)
    world.run()
    approved(world, world.soaks()[0].name).run()
    assert condition(world.study.status, "Stalled").reason == "ApprovedTrialUnknown"
    assert "is a soak" in condition(world.study.status, "Stalled").message


# one soak's own way


SOAKING = {"phase": TrialPhase.LOADING, "started_at": T0, "ready_at": T0, "load_started_at": T0}


def ended(loaded, **more):
    """What becomes of a soak whose load has left this."""
    soak = soak_of(feasible(2, 1), 7, **SOAKING)
    observed = seen(ServerState.READY, load=LoadState.DONE, loaded=loaded, **more)
    return advance(soak, observed, soaking().spec, (), T0 + timedelta(seconds=SECONDS)).status


def test_a_server_that_lives_has_passed_whatever_its_latencies_were():
    slow = rate(0.0, met=False)
    status = ended(result(slow).model_copy(update={"worst_case": "8 requests at once"}))
    assert status.outcome is Outcome.FEASIBLE
    assert status.message == "outlived 60 s of 8 requests at once: 100 of 200 were answered"
    assert status.measurements == []
    assert status.goodput_tokens_per_second is None


def test_requests_that_it_was_too_slow_for_are_no_fault():
    late = rate().model_copy(update={"violations": Violations(timed_out=50, unfinished=40, stalled=10)})
    assert ended(result(late)).outcome is Outcome.FEASIBLE


@pytest.mark.parametrize("kind", ["server_error", "cut_off"])
def test_errors_are_a_fault_of_the_configuration(kind):
    failing = rate().model_copy(update={"violations": Violations(**{kind: 3})})
    status = ended(result(failing))
    assert (status.outcome, status.crash.class_) == (Outcome.CRASHED, CrashClass.UNKNOWN)
    assert "3 of 200 requests of its worst-case load ended in an error" in status.crash.cause


def test_a_load_that_never_came_about_says_nothing_about_the_configuration():
    refused = {"completed": 0, "violations": Violations(client_error=200)}
    for loaded in (result(rate().model_copy(update=refused)), result()):
        status = ended(loaded)
        assert (status.outcome, status.crash.class_) == (Outcome.INFRASTRUCTURE, CrashClass.LOAD_GENERATOR)


def test_answers_that_take_longer_than_the_soak_were_worked_on_all_the_same():
    long = {"completed": 0, "violations": Violations(unfinished=200), "server": ServerCounters(generation_tokens=9)}
    assert ended(result(rate().model_copy(update=long))).outcome is Outcome.FEASIBLE


def test_a_server_that_died_has_not_passed():
    soak = soak_of(feasible(2, 1), 7, **SOAKING)
    died = seen(ServerState.ENDED, load=LoadState.DONE, loaded=result(fault_at=T0), ended=True, exit_code=0)
    status = advance(soak, died, soaking().spec, (), T0 + timedelta(seconds=5)).status
    assert (status.outcome, status.crash.class_) == (Outcome.CRASHED, CrashClass.DIED_UNDER_LOAD)


def test_its_load_is_the_worst_case_by_what_is_known_of_its_server():
    starting = soak_of(feasible(2, 1), 7, phase=TrialPhase.STARTING, started_at=T0)
    ready = seen(ServerState.READY)
    ready = replace(ready, server=replace(ready.server, margins=Margins(kv_cache_tokens=70_000)))
    study = soaking(workload={"generators": 3})
    step = advance(starting, ready, study.spec, (), T0)
    (load,) = [action for action in step.actions if isinstance(action, StartLoad)]
    request = load_request_of(study, load.trial, "http://x", T0)
    assert request.soak == Soak(seconds=SECONDS, max_num_seqs=12, kv_cache_tokens=70_000)
    assert request.starts_at is None
    assert generators_of(study, load.trial.spec) == 1
    assert load_request_of(study, feasible(2, 1), "http://x", T0).soak is None


def test_a_full_batch_is_what_the_server_resolves_it_to():
    given = soak_of(feasible(2, 1), 7, **SOAKING)
    assert full_batch(given) == 12
    unset = soak_of(feasible(1, 1), 7, **SOAKING)
    assert full_batch(unset) is None, "nobody knows the GPU"
    platform = Platform(gpu_name="NVIDIA-L4", gpu_memory_bytes=24 * 2**30)
    on_l4 = unset.model_copy(update={"status": unset.status.model_copy(update={"platform": platform})})
    assert full_batch(on_l4) == 256


def test_its_load_may_take_as_long_as_the_soak_and_its_drain():
    soak, study = soak_of(feasible(2, 1), 7), soaking()
    assert load_limit_seconds(soak.spec, study.spec) == SECONDS + 5 + LOAD_GRACE.total_seconds()


def test_a_start_that_fails_is_a_crash_of_the_configuration():
    study = soaking(budget={"trials": 5}, promotion={"confirmations": 0})
    world = World(study, lambda t: OOM if t.spec.purpose is Purpose.SOAK else grows(t))
    world.run()
    assert world.study.status.recommendation is None
