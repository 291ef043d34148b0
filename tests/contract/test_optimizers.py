"""What every optimizer must do, whatever its method: one suite, run for each name that a study may give."""

import json
import math
import os
import random
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import (
    Crash,
    CrashClass,
    Fault,
    KnobName,
    Margins,
    OptimizerName,
    Outcome,
    Proof,
    SearchSpace,
    SettingBound,
)
from sloguard.domain.knobs import parse_values, text_of
from sloguard.domain.ledger import Ledger, LedgerRecord, Setup
from sloguard.domain.result import VIOLATION_CAP, Result
from sloguard.domain.rules import Context
from sloguard.optimizer import OPTIMIZERS, believed, make_optimizer, make_space
from sloguard.optimizer.registry import BEST

K = KnobName
SEED = 11
CONTEXT = Context(min_model_len_tokens=2048)
PRODUCTION = {K.MAX_NUM_SEQS: 64, K.MAX_MODEL_LEN: 4096, K.GPU_MEMORY_UTILIZATION: 0.9}

SPACES = {
    "core": {},
    "core with quality": {"allowQualityChange": True},
    "extended": {"preset": "Extended", "allowQualityChange": True},
    "conditional": {
        "parameters": [
            {
                "name": "enable_chunked_prefill",
                "choice": {"values": ["true", "false"]},
                "when": {"name": "enforce_eager", "equals": "false"},
            }
        ]
    },
    "one number": {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 100_000}}]},
    "two switches": {
        "preset": "None",
        "parameters": [
            {"name": "enforce_eager", "choice": {"values": ["true", "false"]}},
            {"name": "enable_prefix_caching", "choice": {"values": ["true", "false"]}},
        ],
    },
    "one point": {"preset": "None", "parameters": [{"name": "max_num_seqs", "choice": {"values": ["32"]}}]},
    "mostly against the rules": {
        "preset": "None",
        "parameters": [
            {"name": "max_num_batched_tokens", "int": {"min": 64, "max": 2560, "scale": "Log"}},
            {"name": "max_num_seqs", "int": {"min": 48, "max": 4096, "scale": "Log"}},
            {"name": "enable_chunked_prefill", "choice": {"values": ["false", "true"]}},
        ],
    },
    "mixed": {
        "preset": "None",
        "parameters": [
            {"name": "max_num_seqs", "choice": {"values": ["8", "32", "128"]}},
            {"name": "gpu_memory_utilization", "choice": {"values": ["0.8", "0.9"]}},
            {"name": "max_num_batched_tokens", "int": {"min": 16, "max": 64}},
            {"name": "performance_mode", "choice": {"values": ["balanced", "interactivity"]}},
            {"name": "async_scheduling", "choice": {"values": ["true"]}},
        ],
    },
}


def space_of(name, context=CONTEXT):
    return make_space(SearchSpace.model_validate(SPACES[name]), PRODUCTION, context)


def optimizer_of(name, space, seed=SEED):
    return make_optimizer(name, space, seed)


def measured(number, values, kind="mixed"):
    """A made-up result that depends on the configuration only, so that histories repeat."""
    rng = random.Random(f"{number} {sorted(text_of(values).items())}")
    outcome = {
        "mixed": rng.choice([Outcome.FEASIBLE, Outcome.INFEASIBLE, Outcome.CRASHED]),
        "feasible": Outcome.FEASIBLE,
        "infeasible": Outcome.INFEASIBLE,
        "crashed": Outcome.CRASHED,
    }[kind]
    if outcome is Outcome.CRASHED:
        return Result(number, values, outcome)
    ratio = rng.uniform(1.01, VIOLATION_CAP) if outcome is Outcome.INFEASIBLE else rng.uniform(0.1, 1.0)
    return Result(number, values, outcome, objective=rng.uniform(100, 1000), violation_ratios=(ratio, 0.5))


def searched(optimizer, trials, kind="mixed"):
    """Production, defaults, then what the optimizer asks for."""
    history = [measured(0, dict(PRODUCTION), kind), measured(1, {}, kind)]
    while len(history) < trials:
        suggestion = optimizer.ask(history, [])
        if suggestion is None:
            break
        history.append(measured(len(history), suggestion.parameters, kind))
    return history


def assert_explained(suggestion):
    """A sentence, and figures with names that say what they are."""
    assert 20 < len(suggestion.reason) < 1024
    assert suggestion.reason[0].isupper()
    for quantity, figure in suggestion.predicted.items():
        assert math.isfinite(figure), quantity
        if quantity.endswith("_probability"):
            assert 0 <= figure <= 1, quantity


@pytest.fixture(params=[name for name in OptimizerName if name is not OptimizerName.AUTO], ids=str)
def name(request):
    return request.param


@pytest.mark.parametrize("space_name", SPACES)
@pytest.mark.parametrize("kind", ["mixed", "crashed", "infeasible", "feasible"])
def test_every_suggestion_is_valid_new_and_explained(name, space_name, kind):
    space = space_of(space_name)
    optimizer = optimizer_of(name, space)
    history = [measured(0, dict(PRODUCTION), kind), measured(1, {}, kind)]
    for number in range(2, 16):
        suggestion = optimizer.ask(history, [])
        if suggestion is None:
            break
        assert space.contains(suggestion.parameters), space.broken(suggestion.parameters)
        assert space.key(suggestion.parameters) not in {space.key(result.parameters) for result in history}
        assert_explained(suggestion)
        assert text_of(suggestion.parameters) == text_of(parse_values(text_of(suggestion.parameters)))
        history.append(measured(number, suggestion.parameters, kind))


def test_the_first_ask_needs_no_history(name):
    assert optimizer_of(name, space_of("core")).ask([], []) is not None


def test_quality_stays_unless_allowed(name):
    for result in searched(optimizer_of(name, space_of("core")), 20)[2:]:
        assert not {K.QUANTIZATION, K.KV_CACHE_DTYPE, K.MAX_MODEL_LEN} & set(result.parameters)


def test_lengths_that_production_serves_stay_possible(name):
    space = make_space(
        SearchSpace.model_validate({"parameters": [{"name": "max_model_len", "int": {"min": 1024, "max": 8192}}]}),
        PRODUCTION,
        CONTEXT,
    )
    lengths = {result.parameters[K.MAX_MODEL_LEN] for result in searched(optimizer_of(name, space), 24)[2:]}
    assert min(lengths) >= PRODUCTION[K.MAX_MODEL_LEN]
    assert len(lengths) > 1


def test_an_inactive_knob_is_left_out(name):
    eager = [
        result.parameters
        for result in searched(optimizer_of(name, space_of("conditional")), 30)[2:]
        if result.parameters[K.ENFORCE_EAGER]
    ]
    assert eager
    assert all(K.ENABLE_CHUNKED_PREFILL not in values for values in eager)


@pytest.mark.parametrize("kind", ["mixed", "crashed", "infeasible", "feasible"])
def test_a_small_space_is_used_up_and_then_nothing_is_suggested(name, kind):
    space = space_of("two switches")
    optimizer = optimizer_of(name, space)
    history = []
    while (suggestion := optimizer.ask(history, [])) is not None:
        history.append(measured(len(history), suggestion.parameters, kind))
        assert len(history) <= 4
    assert len({space.key(result.parameters) for result in history}) == space.size == 4


def test_a_space_of_dozens_is_used_up_without_a_duplicate(name):
    space = make_space(
        SearchSpace.model_validate(
            {
                "preset": "None",
                "parameters": [
                    {"name": "max_num_seqs", "choice": {"values": ["8", "16", "32"]}},
                    {"name": "gpu_memory_utilization", "decimal": {"min": "0.90", "max": "0.94"}},
                    {"name": "enforce_eager", "choice": {"values": ["true", "false"]}},
                ],
            }
        ),
        {},
        CONTEXT,
    )
    history = []
    while (suggestion := optimizer_of(name, space).ask(history, [])) is not None:
        history.append(measured(len(history), suggestion.parameters))
    assert len(history) == len({space.key(result.parameters) for result in history}) == space.size == 30


def test_trials_under_way_use_a_small_space_up_too(name):
    space = space_of("two switches")
    pending = []
    while (suggestion := optimizer_of(name, space).ask([], pending)) is not None:
        pending.append(suggestion.parameters)
        assert len(pending) <= 4
    assert len({space.key(values) for values in pending}) == 4


def test_a_space_of_one_point_is_tried_once(name):
    optimizer = optimizer_of(name, space_of("one point"))
    suggestion = optimizer.ask([], [])
    assert suggestion.parameters == {K.MAX_NUM_SEQS: 32}
    assert optimizer.ask([], [suggestion.parameters]) is None
    assert optimizer.ask([measured(0, suggestion.parameters)], []) is None


@pytest.mark.parametrize("space_name", ["extended", "conditional", "mixed"])
def test_the_same_history_in_any_order_gives_the_same_suggestion(name, space_name):
    history = searched(optimizer_of(name, space_of(space_name)), 24)
    shuffled = [
        replace(result, parameters=dict(reversed(result.parameters.items())))
        for result in random.Random(3).sample(history, len(history))
    ]
    expected = optimizer_of(name, space_of(space_name)).ask(history, [])
    assert optimizer_of(name, space_of(space_name)).ask(shuffled, []) == expected


def test_the_order_of_trials_under_way_does_not_matter(name):
    space = space_of("core")
    history = searched(optimizer_of(name, space), 14)
    pending = [space.sample(random.Random(i)) for i in range(4)]
    asked = optimizer_of(name, space).ask(history, pending)
    assert optimizer_of(name, space).ask(history, pending[::-1]) == asked


def test_asking_leaves_history_and_itself_as_they_were(name):
    space = space_of("core")
    optimizer = optimizer_of(name, space)
    history, pending = searched(optimizer, 14), [{K.MAX_NUM_SEQS: 8}]
    before = deepcopy((history, pending))
    first = optimizer.ask(history, pending)
    optimizer.ask(history[:5], [])
    assert (history, pending) == before
    assert optimizer.ask(history, pending) == first


def test_another_seed_gives_another_search(name):
    space = space_of("core")
    assert optimizer_of(name, space, 1).ask([], []) != optimizer_of(name, space, 2).ask([], [])


SCRIPT = """
import random, sys
from sloguard.api.v1alpha1 import KnobName, OptimizerName, Outcome, SearchSpace
from sloguard.domain.knobs import text_of
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_optimizer, make_space

space = make_space(SearchSpace(), {}, Context(min_model_len_tokens=2048))
optimizer = make_optimizer(OptimizerName(sys.argv[1]), space, 5)
rng, history = random.Random(1), []
for number in range(26):
    suggestion = optimizer.ask(history, [{}])
    print(text_of(suggestion.parameters), suggestion.reason, dict(suggestion.predicted))
    outcome = rng.choice([Outcome.FEASIBLE, Outcome.INFEASIBLE, Outcome.CRASHED])
    ratio = 0.5 if outcome is Outcome.FEASIBLE else 2.0
    history.append(Result(number, suggestion.parameters, outcome, rng.random(), (ratio,)))
"""


def test_another_process_with_another_hash_seed_suggests_the_same(name):
    def search(hash_seed):
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, name.value],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
            timeout=900,
        ).stdout

    first = search("1")
    assert first.count("\n") == 26
    assert first == search("2")


@pytest.mark.parametrize("kind", ["mixed", "crashed", "infeasible", "feasible"])
def test_what_is_believed_is_a_worth_of_each_live_trial_or_nothing(name, kind):
    space = space_of("core")
    optimizer = optimizer_of(name, space)
    assert believed(optimizer, []) == {}
    history = searched(optimizer_of(OptimizerName.RANDOM, space), 20, kind)
    unusable = [replace(history[5], number=20, outcome=Outcome.INFEASIBLE, objective=math.nan, violation_ratios=())]
    for known in (history[:1], history[:3], history, history + unusable):
        told = believed(optimizer, known)
        live = {result.number for result in known if result.outcome is not Outcome.CRASHED}
        assert set(told) in (set(), live)
        assert all(math.isfinite(worth) and worth >= 0 for worth in told.values())
        assert told == believed(optimizer, list(reversed(known)))


@pytest.mark.parametrize("outcome", [Outcome.INFRASTRUCTURE, Outcome.CANCELLED])
def test_what_was_not_the_candidates_fault_changes_nothing(name, outcome):
    space = space_of("core")
    optimizer = optimizer_of(name, space)
    history = searched(optimizer, 15)
    assert optimizer.ask([Result(0, {}, outcome)], []) == optimizer.ask([], [])
    untaught = [Result(100 + i, optimizer.ask(history, []).parameters, outcome) for i in range(3)]
    assert optimizer.ask([*history, *untaught], []) == optimizer.ask(history, [])


def test_results_without_usable_figures_are_survived(name):
    space = space_of("core")
    optimizer = optimizer_of(name, space)
    history = searched(optimizer, 14)
    odd = [
        Result(20, {K.MAX_NUM_SEQS: 8}, Outcome.FEASIBLE, objective=float("nan"), violation_ratios=(0.5, 0.5)),
        Result(21, {K.MAX_NUM_SEQS: 12}, Outcome.FEASIBLE, objective=float("inf")),
        Result(22, {K.MAX_NUM_SEQS: 16}, Outcome.INFEASIBLE, objective=None, violation_ratios=(float("nan"), 2.0)),
        Result(23, {K.MAX_NUM_SEQS: 20}, Outcome.INFEASIBLE, objective=1.0, violation_ratios=(float("inf"), 0.1)),
        Result(24, {K.MAX_NUM_SEQS: 24}, Outcome.FEASIBLE, objective=None),
        Result(25, {K.MAX_NUM_SEQS: 28}, Outcome.FEASIBLE, objective=-5.0, violation_ratios=(0.2, 0.2)),
        Result(26, {K.MAX_NUM_SEQS: 32}, Outcome.INFEASIBLE, objective=0.0, violation_ratios=()),
        Result(27, {K.MAX_NUM_SEQS: 36}, Outcome.CRASHED, objective=900.0, violation_ratios=(0.1, 0.1)),
        Result(28, {K.MAX_NUM_SEQS: 40}, Outcome.INFEASIBLE, 700.0, violation_ratios=(0.9, 3.0), censored=True),
        Result(29, {K.MAX_NUM_SEQS: 44}, Outcome.INFEASIBLE, 50.0, violation_ratios=(0.9, 0.9), censored=True),
    ]
    for number in range(30, 44):
        suggestion = optimizer.ask([*history, *odd], [])
        assert suggestion is not None
        assert space.contains(suggestion.parameters)
        assert_explained(suggestion)
        odd.append(replace(odd[number % 10], number=number, parameters=suggestion.parameters))


def test_nothing_but_unusable_figures_is_survived(name):
    space = space_of("core")
    history = []
    for number in range(14):
        suggestion = optimizer_of(name, space).ask(history, [])
        assert space.contains(suggestion.parameters)
        assert_explained(suggestion)
        history.append(Result(number, suggestion.parameters, Outcome.FEASIBLE, float("nan"), (float("nan"),)))


@pytest.mark.parametrize("figure", [0.0, 250.0, -3.0])
def test_a_flat_objective_is_survived(name, figure):
    space = space_of("core")
    history = []
    for number in range(14):
        suggestion = optimizer_of(name, space).ask(history, [])
        assert space.key(suggestion.parameters) not in {space.key(result.parameters) for result in history}
        history.append(Result(number, suggestion.parameters, Outcome.FEASIBLE, figure, (0.5, 0.5)))


@pytest.mark.parametrize("other", [OptimizerName.RANDOM, OptimizerName.TPE])
def test_it_goes_on_where_another_optimizer_left_off(name, other):
    space = space_of("core")
    history = [replace(result, number=3 * result.number + 7) for result in searched(optimizer_of(other, space), 20)]
    for number in range(100, 106):
        suggestion = optimizer_of(name, space).ask(history, [])
        assert space.contains(suggestion.parameters)
        assert space.key(suggestion.parameters) not in {space.key(result.parameters) for result in history}
        history.append(measured(number, suggestion.parameters))


def test_one_result_is_enough_to_go_on(name):
    space = space_of("extended")
    for kind in ("feasible", "infeasible", "crashed"):
        suggestion = optimizer_of(name, space).ask([measured(0, dict(PRODUCTION), kind)], [])
        assert space.contains(suggestion.parameters)


def test_history_from_outside_the_space_is_survived(name):
    space = space_of("mixed")
    foreign = [
        Result(0, {K.MAX_NUM_SEQS: 7, K.MAX_MODEL_LEN: "auto"}, Outcome.FEASIBLE, 5.0, (0.1,)),
        Result(1, {K.QUANTIZATION: "awq", K.MAX_NUM_BATCHED_TOKENS: 10**6}, Outcome.FEASIBLE, 6.0, (0.1,)),
        Result(2, {K.PERFORMANCE_MODE: "unheard-of", K.GPU_MEMORY_UTILIZATION: 1.0}, Outcome.CRASHED),
    ]
    history = foreign + searched(optimizer_of(name, space), 12)
    suggestion = optimizer_of(name, space).ask(history, [])
    assert suggestion is not None
    assert space.contains(suggestion.parameters)


def test_repeats_of_one_configuration_are_one_lesson_not_several(name):
    space = space_of("core")
    optimizer = optimizer_of(name, space)
    history = searched(optimizer, 12, "feasible")
    repeats = [Result(50 + i, history[5].parameters, Outcome.FEASIBLE, 10.0 * i, (0.3,)) for i in range(5)]
    suggestion = optimizer.ask([*history, *repeats], [])
    assert space.contains(suggestion.parameters)


@pytest.mark.parametrize("trials", [0, 12])
def test_parallel_asks_differ(name, trials):
    space = space_of("core")
    optimizer = optimizer_of(name, space)
    history = searched(optimizer, trials) if trials else []
    pending = []
    for _ in range(6):
        pending.append(optimizer.ask(history, pending).parameters)
    keys = {space.key(values) for values in pending}
    assert len(keys) == 6
    assert not keys & {space.key(result.parameters) for result in history}


def test_parallel_asks_do_not_pile_up(name):
    """Four trials under way lie apart: no two differ by one step of one knob only."""
    space = space_of("core")
    optimizer = optimizer_of(name, space)
    history = searched(optimizer, 24)
    pending = []
    for _ in range(4):
        pending.append(optimizer.ask(history, pending).parameters)
    neighbours = [{space.key(other) for other in space.neighbours(values)} for values in pending]
    assert sum(space.key(b) in near for near in neighbours for b in pending) < 4


@pytest.mark.parametrize("space_name", ["core", "extended"])
def test_five_hundred_trials_of_history(name, space_name):
    space = space_of(space_name)
    rng = random.Random(0)
    history = [measured(number, space.sample(rng)) for number in range(500)]
    suggestion = optimizer_of(name, space).ask(history, [])
    assert space.contains(suggestion.parameters)
    assert space.key(suggestion.parameters) not in {space.key(result.parameters) for result in history}
    assert_explained(suggestion)


GIB = 2**30
HERE = Setup(gpu_name="NVIDIA L4", gpu_memory_bytes=24 * GIB, model="llama")
SETUPS = (
    HERE,
    Setup(gpu_name="NVIDIA H100", gpu_memory_bytes=80 * GIB, model="llama"),
    Setup(gpu_memory_bytes=24 * GIB, model="another", vllm_version="0.33.0"),
    Setup(),
)
CRASHES = (
    (
        CrashClass.KV_CACHE_BELOW_ONE_REQUEST,
        Proof(
            bounds=[SettingBound(setting="max_model_len", at_most=4096)],
            available_kv_cache_bytes=GIB // 2,
            needed_kv_cache_bytes=GIB,
        ),
    ),
    (
        CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH,
        Proof(
            bounds=[SettingBound(setting="gpu_memory_utilization", at_most_permille=979)], device_memory_bytes=24 * GIB
        ),
    ),
    (CrashClass.CUDA_OUT_OF_MEMORY, None),
    (CrashClass.GPU_FAULT, None),
)


def earlier_record(number, values):
    """Of one of SETUPS in turn; from outside this study's space as often as not."""
    setup, (class_, proof) = SETUPS[number % 4], CRASHES[number // 4 % 4]
    result = measured(number, values)
    crash = Crash(class_=class_, fault=Fault.CONFIGURATION, proof=proof)
    margins = Margins(available_kv_cache_bytes=(1 + number % 7) * GIB, model_weights_bytes=15 * GIB)
    told = replace(
        result,
        crash=crash if result.outcome is Outcome.CRASHED else None,
        margins=None if result.outcome is Outcome.CRASHED else margins,
    )
    return LedgerRecord.of(told, CONTEXT, study="before", run=str(number % 4), setup=setup)


def a_ledger(records):
    rng, outside = random.Random(4), space_of("extended")
    return Ledger(HERE, tuple(earlier_record(number, outside.sample(rng)) for number in range(records)))


@pytest.mark.parametrize("kind", ["mixed", "infeasible", "crashed"])
@pytest.mark.parametrize("space_name", ["core", "extended", "mixed", "two switches"])
def test_with_a_ledger_suggestions_stay_valid_new_and_explained(name, space_name, kind):
    space = space_of(space_name)
    history = []
    for number in range(10):
        suggestion = make_optimizer(name, space, SEED, a_ledger(60)).ask(history, [])
        if suggestion is None:
            break
        assert space.contains(suggestion.parameters), space.broken(suggestion.parameters)
        assert space.key(suggestion.parameters) not in {space.key(result.parameters) for result in history}
        assert_explained(suggestion)
        history.append(measured(number, suggestion.parameters, kind))
    assert len(history) >= min(10, space.size or 10)


def test_the_same_ledger_gives_the_same_suggestion_also_when_it_was_stored_meanwhile(name):
    space, ledger = space_of("core"), a_ledger(60)
    stored = tuple(LedgerRecord.model_validate_json(json.dumps(record.dump())) for record in ledger.records)
    history = searched(optimizer_of(name, space), 12)
    asked = make_optimizer(name, space, SEED, ledger).ask(history, [])
    assert make_optimizer(name, space, SEED, Ledger(HERE, stored)).ask(history, []) == asked
    assert make_optimizer(name, space, SEED, ledger).ask(history[::-1], []) == asked


def test_a_ledger_is_used_where_the_registry_says_so(name):
    space, ledger = space_of("core"), a_ledger(240)
    history = searched(optimizer_of(name, space), 12)
    without = [optimizer_of(name, space, seed).ask(history, []) for seed in range(4)]
    changed = [make_optimizer(name, space, seed, ledger).ask(history, []) for seed in range(4)] != without
    assert changed == OPTIMIZERS[name].learns_from_ledger


def test_auto_is_the_best_of_the_others():
    space = space_of("core")
    assert BEST is not OptimizerName.AUTO
    assert optimizer_of(OptimizerName.AUTO, space) == optimizer_of(BEST, space)
    assert BEST in OPTIMIZERS[OptimizerName.AUTO].purpose


def test_the_registry_describes_every_optimizer():
    assert list(OPTIMIZERS) == list(OptimizerName)
    assert all(entry.purpose and entry.needs for entry in OPTIMIZERS.values())
