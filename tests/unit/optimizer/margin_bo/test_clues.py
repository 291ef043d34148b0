"""What crashes say of their culprits, and what blame makes of it."""

import numpy as np
import pytest

from sloguard.api.v1alpha1 import Crash, CrashClass, CrashPhase, Fault, KnobName, Outcome, Proof, SettingBound
from sloguard.domain.result import Result
from sloguard.optimizer.margin_bo.blame import Shown, accuse
from sloguard.optimizer.margin_bo.clues import Clue, clue_of, named
from tests.unit.optimizer.margin_bo.test_blame import ENCODING, SPACE, drawn, shown

K = KnobName


def died(cause="", class_=CrashClass.INVALID_ARGUMENTS, phase=None, proof=None):
    crash = Crash(class_=class_, fault=Fault.CONFIGURATION, phase=phase, cause=cause, proof=proof)
    return Result(1, {}, Outcome.CRASHED, crash=crash)


def pointed_at(result):
    """Knobs, with the values that are named."""
    found = named(clue_of(result), ENCODING.columns)
    return {name: {SPACE.domains[name].values[code] for code in codes} for name, codes in found.items()}


@pytest.mark.parametrize(
    ("cause", "knobs"),
    [
        ("AWQ kernels do not support this cache", {K.QUANTIZATION: {"awq"}}),
        ("--kv-cache-dtype is not available here", {K.KV_CACHE_DTYPE: set()}),
        ("Chunked prefill is not supported with this model", {K.ENABLE_CHUNKED_PREFILL: set()}),
        ("CUDA error: an illegal memory access was encountered", {}),
        ("the attention backend is set to auto and none of them is true", {}),
        (
            "args: max_num_seqs=4, quantization=awq, kv_cache_dtype=fp8, enforce_eager=True, max_num_batched_tokens=9",
            {},
        ),
    ],
)
def test_a_message_points_at_what_it_names_unless_it_names_everything(cause, knobs):
    assert pointed_at(died(cause)) == knobs


def test_a_bound_names_its_setting():
    proof = Proof(bounds=[SettingBound(setting="max_num_seqs", at_most=64)])
    assert pointed_at(died(proof=proof)) == {K.MAX_NUM_SEQS: set()}


def test_a_death_in_graph_capture_has_to_do_with_graphs():
    result = died(class_=CrashClass.GPU_FAULT, phase=CrashPhase.GRAPH_CAPTURE)
    assert pointed_at(result) == {K.ENFORCE_EAGER: set()}


def test_what_served_says_nothing():
    assert clue_of(Result(1, {}, Outcome.FEASIBLE, objective=1.0)) == Clue()


def fear(lived, crashed, probe):
    blame = accuse(ENCODING, shown(lived), crashed, 0)
    return float(blame.kills(ENCODING.configurations(probe)).mean())


def test_a_named_pair_is_feared_where_it_is_whole_and_not_where_half_of_it_is():
    culprit = drawn(1, seed=9, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")
    lived = drawn(2, seed=3, QUANTIZATION="none", KV_CACHE_DTYPE="auto")
    names = clue_of(died("quantization awq does not work with an fp8 KV cache"))
    whole = drawn(30, seed=5, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")
    neither = drawn(30, seed=5, QUANTIZATION="gptq", KV_CACHE_DTYPE="auto")
    told, untold = shown(culprit, clue=names), shown(culprit)
    assert fear(lived, told, whole) > fear(lived, untold, whole) + 0.1
    assert fear(lived, told, neither) < fear(lived, untold, neither)


def test_deaths_of_three_kinds_are_hardly_one_value_s_fault():
    """As of a cache format that three other faults happened to meet."""
    culprits = [
        drawn(1, seed=9, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")[0],
        drawn(1, seed=10, QUANTIZATION="gptq", KV_CACHE_DTYPE="fp8", ENFORCE_EAGER=False)[0],
        drawn(1, seed=11, QUANTIZATION="fp8", KV_CACHE_DTYPE="fp8", ENABLE_CHUNKED_PREFILL=False)[0],
    ]
    lived = drawn(4, seed=3, KV_CACHE_DTYPE="auto", QUANTIZATION="none")
    probe = drawn(
        30, seed=5, KV_CACHE_DTYPE="fp8", QUANTIZATION="none", ENFORCE_EAGER=True, ENABLE_CHUNKED_PREFILL=True
    )
    points, weights = ENCODING.configurations(culprits), np.ones(3)
    alike = Shown(points, weights, (Clue(way="GPUFault"),) * 3)
    unlike = Shown(points, weights, (Clue(way="GPUFault"), Clue(way="Hang"), Clue(way="InvalidArguments")))
    assert fear(lived, unlike, probe) < 0.9 * fear(lived, alike, probe)


def test_a_number_is_blamed_upwards_rather_than_downwards():
    lived = drawn(6, seed=3, MAX_NUM_SEQS=32)

    def fear_of(seqs):
        crashed = drawn(1, seed=9, MAX_NUM_SEQS=seqs)
        return fear(lived, shown(crashed), [{**values, K.MAX_NUM_SEQS: seqs} for values in drawn(30, seed=5)])

    assert fear_of(256) > fear_of(4)
