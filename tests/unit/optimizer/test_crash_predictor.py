import math
from random import Random

import numpy as np
import pytest

from sloguard.api.v1alpha1 import KnobName, Outcome, SearchSpace
from sloguard.domain.ledger import EMPTY, Ledger, LedgerRecord, Setup
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.crash_predictor import LEAST_OF_EACH, LEAST_SKILL, crash_predictor
from sloguard.optimizer.crash_predictor_calibration import calibrated
from sloguard.optimizer.crash_predictor_features import columns_of, memory_left
from sloguard.optimizer.crash_predictor_records import (
    CrashRecord,
    Platform,
    earlier_records,
    platform_of,
    records_of,
)

K = KnobName
LLAMA_8B = {"parameters_billions": 8.03, "layers": 32, "heads": 32, "kv_heads": 8, "hidden_size": 4096}
L4 = Platform(gpu_memory_gib=22.0, bandwidth_gib_per_second=279.4, compute_capability=8.9, **LLAMA_8B)
ON_L4 = Setup(
    gpu_memory_bytes=22 * 2**30,
    gpu_bandwidth_bytes_per_second=round(279.4 * 2**30),
    compute_capability_tenths=89,
    parameters=8_030_000_000,
    layers=32,
    attention_heads=32,
    kv_heads=8,
    hidden_size=4096,
)
A100 = Platform(gpu_memory_gib=39.4, bandwidth_gib_per_second=1448.0, compute_capability=8.0, **LLAMA_8B)
BIG = Platform(gpu_memory_gib=31.0, bandwidth_gib_per_second=900.0, compute_capability=9.0, **LLAMA_8B)
LARGER_MODEL = Platform(
    gpu_memory_gib=39.4, parameters_billions=17.0, layers=40, heads=40, kv_heads=8, hidden_size=5120
)
SMALLER = Platform(gpu_memory_gib=16.0, parameters_billions=5.5, layers=28, heads=28, kv_heads=4, hidden_size=3584)


def started(platform, count, seed=0):
    """Crashes where the weights and one request leave no room, or where the card is filled to the brim."""
    rng = Random(seed)
    records = []
    for _ in range(count):
        values = {
            K.GPU_MEMORY_UTILIZATION: round(rng.uniform(0.6, 0.99), 2),
            K.MAX_MODEL_LEN: rng.choice([2048, 4096, 8192, 16384]),
            K.MAX_NUM_SEQS: rng.choice([8, 64, 256]),
            K.KV_CACHE_DTYPE: rng.choice(["auto", "fp8"]),
        }
        _, room, beyond, _ = memory_left(values, platform)
        records.append(CrashRecord(values, platform, room < 0 or beyond < 1.0))
    return records


def brier(predictor, records):
    said = predictor.probabilities([record.parameters for record in records])
    return float(np.mean((said - [record.crashed for record in records]) ** 2))


def base_rate_brier(learned, asked):
    rate = np.mean([record.crashed for record in learned])
    return float(np.mean([(rate - record.crashed) ** 2 for record in asked]))


def test_memory_that_is_left_by_hand():
    """22 GiB x 0.9 - 8.03e9 x 2 B = 4.84 GiB; 131,072 B of KV cache a token."""
    values = {K.GPU_MEMORY_UTILIZATION: 0.9, K.MAX_MODEL_LEN: 8192, K.MAX_NUM_BATCHED_TOKENS: 2048}
    weights, request, beyond, activations = memory_left(values, L4)
    assert weights == pytest.approx(4.843, abs=0.001)
    assert weights - request == pytest.approx(1.0)
    assert beyond == pytest.approx(2.2)
    assert activations == pytest.approx(0.1875)
    halved = list(memory_left({**values, K.QUANTIZATION: "fp8", K.KV_CACHE_DTYPE: "fp8"}, L4))
    assert halved[0] == pytest.approx(12.32, abs=0.01)
    assert halved[0] - halved[1] == pytest.approx(0.5)


def test_what_is_unknown_is_not_guessed():
    assert all(math.isnan(left) for left in memory_left({K.MAX_MODEL_LEN: "auto"}, Platform()))
    strange = {K.GPU_MEMORY_UTILIZATION: 0.9, K.QUANTIZATION: "never-heard-of"}
    assert math.isnan(next(memory_left(strange, L4)))


def test_a_choice_has_a_column_for_each_value_that_was_seen():
    records = [CrashRecord({K.KV_CACHE_DTYPE: kv, K.MAX_NUM_SEQS: 8}, L4, False) for kv in ("fp8", "auto", "fp8")]
    columns = columns_of(records)
    assert columns.choices == ((K.KV_CACHE_DTYPE, "auto"), (K.KV_CACHE_DTYPE, "fp8"))
    row = columns.table([({K.KV_CACHE_DTYPE: "fp8_e5m2"}, L4)])[0]
    assert math.isnan(row[0])
    assert row[1:3].tolist() == [0.0, 0.0]


def test_it_predicts_the_platform_that_it_learned_from():
    learned, asked = started(L4, 60), started(L4, 200, seed=1)
    predictor = crash_predictor(learned, L4, seed=1)
    assert predictor.trusted
    assert brier(predictor, asked) < 0.5 * base_rate_brier(learned, asked)


def test_what_it_learned_carries_over_to_a_gpu_that_it_never_saw():
    learned = [record for known in (L4, A100, LARGER_MODEL, SMALLER) for record in started(known, 60)]
    asked = started(BIG, 200, seed=1)
    predictor = crash_predictor(learned, BIG, seed=1)
    assert predictor.trusted
    assert brier(predictor, asked) < 0.7 * base_rate_brier(learned, asked)


def test_a_ledger_that_contradicts_itself_between_platforms_is_not_trusted():
    """Each platform crashes where the others live: what fits one by heart fails on the next."""
    upside_down = [CrashRecord(r.parameters, A100, not r.crashed) for r in started(L4, 60, seed=2)]
    assert not crash_predictor([*started(L4, 60), *upside_down], BIG, seed=1).trusted


def test_chance_is_not_trusted():
    def skill(seed):
        rng = Random(seed)
        crashed = [CrashRecord(r.parameters, L4, rng.random() < 0.4) for r in started(L4, 40, seed)]
        return crash_predictor(crashed, L4, seed).skill

    assert sum(skill(seed) >= LEAST_SKILL for seed in range(10)) <= 2


def test_too_few_crashes_or_survivals_are_no_predictor():
    lived = [CrashRecord({K.MAX_NUM_SEQS: i}, L4, i < LEAST_OF_EACH - 1) for i in range(30)]
    assert crash_predictor(lived, L4, 1) is None
    assert crash_predictor([CrashRecord(r.parameters, L4, not r.crashed) for r in lived], L4, 1) is None
    assert crash_predictor([], L4, 1) is None
    assert crash_predictor(started(L4, 6), L4, 1) is None


def test_the_order_of_the_ledger_and_unknown_platforms_are_survived():
    unknown = [CrashRecord(r.parameters, Platform(), r.crashed) for r in started(L4, 30)]
    said = crash_predictor(unknown, Platform(), 1).probabilities([{}, {K.GPU_MEMORY_UTILIZATION: 0.99}])
    assert all(0 <= p <= 1 for p in said)
    assert crash_predictor(unknown, Platform(), 1).probabilities([]).size == 0


def test_calibration_mends_a_word_that_is_too_sure():
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.2, 0.8, 4000)
    crashed = (rng.random(4000) < truth).astype(float)
    too_sure = truth**3 / (truth**3 + (1 - truth) ** 3)
    mended = calibrated(too_sure, crashed)(too_sure)
    assert np.max(np.abs(mended - truth)) < 0.06
    assert np.max(np.abs(too_sure - truth)) > 0.15


def test_calibration_of_a_dozen_stays_near_what_was_said():
    said = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    mended = calibrated(said, np.array([0.0, 0, 0, 1, 1, 1]))(said)
    assert np.max(np.abs(mended - said)) < 0.15
    assert np.all(np.diff(mended) > 0)


def test_calibration_of_one_class_only_ends_with_finite_figures():
    """Newton's full steps run away here."""
    said = np.concatenate([np.full(100, 0.01), np.full(5, 0.9)])
    for crashed in (np.zeros(105), np.ones(105)):
        mended = calibrated(said, crashed)
        assert 0 <= mended.slope < 5
        assert abs(mended.intercept) < 10
        assert abs(float(np.mean(mended(said))) - crashed[0]) < 0.1


def test_a_word_that_is_wrong_more_often_than_right_is_worth_nothing():
    said = np.tile([0.1, 0.9], 50)
    mended = calibrated(said, np.tile([1.0, 0.0], 50))(said)
    assert np.ptp(mended) < 1e-9


def test_a_studys_own_trials_become_records():
    space = make_space(SearchSpace(), {}, Context(vram_bytes=24 * 2**30))
    platform = platform_of(space, EMPTY)
    assert platform == Platform(gpu_memory_gib=24.0)
    own = platform_of(space, Ledger(ON_L4))
    assert (own.gpu_memory_gib, own.compute_capability, own.layers) == (22.0, 8.9, 32)
    history = [
        Result(3, {K.MAX_NUM_SEQS: 8}, Outcome.CRASHED),
        Result(1, {K.MAX_NUM_SEQS: 16}, Outcome.INFEASIBLE, 1.0, (2.0,)),
        Result(2, {K.MAX_NUM_SEQS: 32}, Outcome.INFRASTRUCTURE),
    ]
    records = records_of(space, history, platform)
    assert [(record.parameters[K.MAX_NUM_SEQS], record.crashed) for record in records] == [(16, False), (8, True)]
    assert records[0].parameters[K.ENFORCE_EAGER] is False


def test_a_ledgers_records_keep_their_platform():
    record = LedgerRecord(study="before", number=4, setup=ON_L4, parameters={K.MAX_NUM_SEQS: "96"}, crashed=True)
    (known,) = earlier_records(Ledger(records=(record,)))
    assert known.parameters == {K.MAX_NUM_SEQS: 96}
    assert known.crashed
    assert known.platform.bandwidth_gib_per_second == pytest.approx(279.4)
    assert known.platform.parameters_billions == pytest.approx(8.03)
