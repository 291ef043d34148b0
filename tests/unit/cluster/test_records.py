"""Which trials count: those that the operator could have recorded itself."""

import pytest

from sloguard.cluster.records import ForeignArgumentsError, check_arguments, records_of
from sloguard.engine.candidates import search
from sloguard.engine.known import Ground, make_target_space
from sloguard.engine.snapshot import TargetProblem, TargetState
from tests.unit.cluster.objects import begun, finished, study, trial_object

TARGET = TargetState(("org/model", "--max-num-seqs=2"))
GONE = TargetProblem("TargetNotFound", "gone")
DONE = [trial_object(0, status=finished()), trial_object(1, status=finished())]


def accepted(*stored, target=TARGET, **spec):
    return [t.name for t in records_of(study(**spec), stored, target).trials]


def objection(stored, *before, target=TARGET, **spec):
    records = records_of(study(**spec), [*before, stored], target)
    return records.passed_over.get(stored["metadata"]["name"])


def test_the_operators_own_are_in_the_order_of_their_making():
    stored = [
        trial_object(2, 2, status=begun()),
        trial_object(2, 1, status=finished("Infrastructure")),
        *reversed(DONE),
    ]
    assert accepted(*stored) == ["s-0-1", "s-1-1", "s-2-1", "s-2-2"]


PENDING = {
    "production": ([], trial_object(0)),
    "defaults": (DONE[:1], trial_object(1)),
    "search": (DONE, trial_object(2)),
    "production again": ([trial_object(0, status=finished("Infrastructure"))], trial_object(0, 2)),
    "again after a cancelled start": (
        [*DONE, trial_object(2, status=finished("Cancelled", startedAt=None))],
        trial_object(2, 2),
    ),
    "confirmation of a search": (
        [*DONE, trial_object(2, status=finished())],
        trial_object(3, purpose="Confirm", parameters={"max_num_seqs": "12"}),
    ),
    "confirmation of the defaults": (DONE, trial_object(2, purpose="Confirm", parameters={})),
    "repeat of production": (DONE, trial_object(2, purpose="Production", parameters=DONE[0]["spec"]["parameters"])),
    "repeat of the defaults": (DONE, trial_object(2, purpose="Default", parameters={})),
}


@pytest.mark.parametrize("which", PENDING)
def test_what_the_planner_records_is_accepted_before_it_has_begun(which):
    before, stored = PENDING[which]
    assert objection(stored, *before) is None


FORGED = {
    "no owner": trial_object(2, metadata={"ownerReferences": []}),
    "another study's": trial_object(2, owner={"uid": "other"}),
    "not as controller": trial_object(2, owner={"controller": False}),
    "owned under another name": trial_object(2, owner={"name": "t"}),
    "owned by another kind": trial_object(2, owner={"kind": "SLOGuardTrial"}),
    "of another study": trial_object(2, study="t"),
    "another name": trial_object(2, metadata={"name": "s-2-2"}),
    "a number with zeros": trial_object(2, metadata={"name": "s-02-1"}),
    "a baseline that is none": trial_object(2, purpose="Production", parameters={"max_num_seqs": "99"}),
    "a search in the baseline's place": trial_object(1, purpose="Search"),
    "defaults that set something": trial_object(1, parameters={"max_num_seqs": "9"}),
    "a canary": trial_object(2, purpose="Canary"),
    "an unknown setting": trial_object(2, parameters={"chat_template": "/etc/passwd"}),
    "no value": trial_object(2, parameters={"max_num_seqs": "-1"}),
    "a value that is a flag": trial_object(2, parameters={"max_num_seqs": "--config=/x"}),
    "a value with a line end": trial_object(2, parameters={"kv_cache_dtype": "fp8\n--host"}),
    "a setting outside the space": trial_object(2, parameters={"max_num_seqs": "9", "tensor_parallel_size": "8"}),
    "a value outside the space": trial_object(2, parameters={"max_num_seqs": "257"}),
    "a tuned setting left out": trial_object(2, parameters={}),
    "a confirmation of nothing": trial_object(2, purpose="Confirm", parameters={"max_num_seqs": "9"}),
    "a soak of nothing": trial_object(2, purpose="Soak", parameters={"max_num_seqs": "9"}, soakSeconds=60),
    "a soak without an end": trial_object(2, purpose="Soak", parameters={}),
    "a number ahead of its time": trial_object(4),
    "a second attempt without a first": trial_object(2, 2),
    "an unknown field": trial_object(2, image="evil"),
}


@pytest.mark.parametrize("which", FORGED)
def test_what_the_operator_would_not_record_is_passed_over(which):
    stored = FORGED[which]
    before = DONE[:1] if stored["spec"]["number"] == 1 else DONE
    records = records_of(study(), [*before, stored], TARGET)
    assert stored["metadata"]["name"] not in [t.name for t in records.trials]
    assert records.passed_over[stored["metadata"]["name"]]


def test_reasons_are_one_bounded_line():
    evil = trial_object(2, parameters={"max_num_seqs": "\x1b[31m\n" + "9" * 5000})
    why = objection(evil, *DONE)
    assert len(why) <= 1024
    assert why.isprintable()


@pytest.mark.parametrize("outcome", ["Feasible", "Infeasible", "Crashed"])
def test_a_trial_that_taught_something_is_not_repeated(outcome):
    first = trial_object(2, status=finished(outcome))
    assert objection(trial_object(2, 2), *DONE, first) is not None


def test_an_attempt_has_the_parameters_of_the_one_before():
    first = trial_object(2, status=finished("Infrastructure"))
    assert objection(trial_object(2, 2, parameters={"max_num_seqs": "99"}), *DONE, first) is not None


def test_no_more_begin_than_may_run_at_once():
    under_way = trial_object(3, status=begun())
    earlier = trial_object(2, status=finished("Infrastructure"))
    assert objection(trial_object(2, 2), *DONE, earlier, under_way) is not None
    assert objection(trial_object(2, 2), *DONE, earlier, under_way, trial={"parallelism": 2}) is None
    many = [trial_object(number) for number in range(2, 6)]
    assert accepted(*DONE, *many, trial={"parallelism": 3}) == ["s-0-1", "s-1-1", "s-2-1", "s-3-1", "s-4-1"]


def test_the_budget_bounds_what_may_begin():
    all_done = [*DONE, *(trial_object(n, status=finished()) for n in range(2, 6))]
    assert objection(trial_object(6), *all_done) == "the budget has no room for it"


def test_a_soak_takes_none_of_the_budgets_trials():
    all_done = [*DONE, *(trial_object(n, status=finished()) for n in range(2, 6))]
    soak = trial_object(6, purpose="Soak", parameters=all_done[-1]["spec"]["parameters"], soakSeconds=60)
    assert objection(soak, *all_done) is None
    soaked = soak | {"status": finished()}
    assert objection(trial_object(7), *all_done, soaked) == "the budget has no room for it"
    assert objection(trial_object(7), *all_done, soaked, budget={"trials": 7}) is None


def test_what_has_begun_stays_whatever_becomes_of_study_and_target():
    """The records are what the study knows: changed settings must not make it forget."""
    trials = [*DONE, trial_object(3, parameters={"max_num_seqs": "999"}, status=finished())]
    assert accepted(*trials, budget={"trials": 3}, promotion={"confirmations": 0}) == ["s-0-1", "s-1-1", "s-3-1"]
    assert accepted(*trials, target=GONE) == ["s-0-1", "s-1-1", "s-3-1"]


def test_without_a_target_parameters_cannot_be_judged_and_nothing_begins_anyway():
    outside = trial_object(2, parameters={"max_num_seqs": "257"})
    assert objection(outside, *DONE, target=GONE) is None
    cancelled = trial_object(2, parameters={"max_num_seqs": "257"}, status=finished("Cancelled", startedAt=None))
    assert objection(cancelled, *DONE) is not None


@pytest.mark.parametrize("optimizer", ["random", "tpe"])
@pytest.mark.parametrize("preset", ["Core", "Extended"])
def test_whatever_an_optimizer_asks_for_is_within_the_space(optimizer, preset):
    one = study(
        searchSpace={"preset": preset, "parameters": []},
        optimizer={"name": optimizer, "seed": 3},
        budget={"trials": 20},
    )
    target = TargetState(("org/model", "--gpu-memory-utilization=0.9", "--max-model-len=4096"))
    ground = Ground(target, make_target_space(one, target))
    stored = list(DONE)
    for _ in range(2, 14):
        spec = search(one, records_of(one, stored, target).trials, ground, 100)
        pending = trial_object(**spec.dump())
        assert records_of(one, [*stored, pending], target).passed_over == {}
        stored.append(pending | {"status": finished("Crashed")})


PRODUCTION = ("org/model", "--max-num-seqs", "2", "--port=8000", "--enable-chunked-prefill")


@pytest.mark.parametrize(
    "arguments",
    [
        PRODUCTION,
        ("org/model", "--port=8000"),
        ("org/model", "--max-num-seqs", "64", "--port=8000", "--no-enable-chunked-prefill", "--quantization=fp8"),
    ],
)
def test_arguments_may_differ_in_tuned_settings(arguments):
    check_arguments(PRODUCTION, arguments)
    check_arguments(arguments, PRODUCTION)


@pytest.mark.parametrize(
    "arguments",
    [
        ("org/other", "--port=8000"),
        ("org/model",),
        ("org/model", "--port=9000"),
        ("org/model", "--port=8000", "--config=/etc/x"),
        ("org/model", "--port=8000", "--trust-remote-code"),
        ("org/model", "--port=8000", "--max-num-seqs=many"),
        ("org/model", "--port=8000", "--max-num-seqs"),
        ("org/model", "--port=8000", "--kv-cache-dtype", "fp8 --host"),
        (),
    ],
)
def test_arguments_may_differ_in_nothing_else(arguments):
    with pytest.raises(ForeignArgumentsError):
        check_arguments(PRODUCTION, arguments)


def test_a_record_that_cannot_be_read_is_told_of_in_the_words_of_its_own_schema():
    odd = trial_object(2, purpose="Serch", oddField=1)
    why = records_of(study(), [odd], TargetState(())).passed_over["s-2-1"]
    assert 'spec.purpose: "Serch" is not known; did you mean Search?' in why
    assert "spec.oddField: is not a known field; use one of study, number, attempt" in why
