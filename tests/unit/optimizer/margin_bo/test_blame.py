"""Culprits for the crashes that memory does not explain."""

from random import Random

import numpy as np
import pytest

from sloguard.api.v1alpha1 import KnobName, SearchSpace
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.margin_bo.blame import Shown, accuse
from sloguard.optimizer.margin_bo.clues import Clue
from sloguard.optimizer.margin_bo.encoding import Encoding
from tests.bench.lands.quant import SEARCH_SPACE

K = KnobName
SPACE = make_space(SearchSpace.model_validate(SEARCH_SPACE), {}, Context())
ENCODING = Encoding(SPACE, SPACE.context)
NO_CLUE = Clue()


def drawn(count, seed=1, **fixed):
    rng = Random(seed)
    return [{**SPACE.sample(rng), **{K[name]: value for name, value in fixed.items()}} for _ in range(count)]


def shown(those, weight=1.0, clue=NO_CLUE):
    return Shown(ENCODING.configurations(those), np.full(len(those), weight), (clue,) * len(those))


def blamed(lived, died, seed=0):
    return accuse(ENCODING, shown(lived), shown(died), seed)


def chances(blame, those):
    return blame.kills(ENCODING.configurations(those))


def is_pair(values):
    return values[K.QUANTIZATION] == "awq" and values[K.KV_CACHE_DTYPE] == "fp8"


def test_without_crashes_nothing_is_feared():
    assert not chances(blamed(drawn(5), []), drawn(20)).any()


def test_a_pair_is_found_and_its_members_alone_are_acquitted():
    those = drawn(60)
    blame = blamed([v for v in those if not is_pair(v)], [v for v in those if is_pair(v)])
    fresh = drawn(200, seed=2)
    guilty = chances(blame, [v for v in fresh if is_pair(v)])
    innocent = chances(blame, [v for v in fresh if not is_pair(v)])
    assert guilty.min() > 0.8
    assert innocent.mean() < 0.05
    assert blame.suspects[0][1] == (K.KV_CACHE_DTYPE, K.QUANTIZATION)


def test_a_success_acquits():
    culprit = drawn(1, QUANTIZATION="gptq", KV_CACHE_DTYPE="fp8")[0]
    again = drawn(1, seed=4, QUANTIZATION="gptq", KV_CACHE_DTYPE="auto")[0]
    lived = drawn(6, seed=3, QUANTIZATION="none")
    before = chances(blamed(lived, [culprit]), [again])[0]
    after = chances(blamed([*lived, *drawn(2, seed=5, QUANTIZATION="gptq", KV_CACHE_DTYPE="auto")], [culprit]), [again])
    assert after[0] < before
    assert after[0] < 0.2


def test_a_range_is_found():
    those = drawn(50)
    blame = blamed([v for v in those if v[K.MAX_NUM_SEQS] < 100], [v for v in those if v[K.MAX_NUM_SEQS] >= 100])
    assert chances(blame, drawn(20, seed=2, MAX_NUM_SEQS=200)).min() > 0.8
    assert chances(blame, drawn(20, seed=2, MAX_NUM_SEQS=24)).max() < 0.2


def test_one_crash_among_many_successes_walls_nothing_off():
    died = drawn(1, seed=9)
    blame = blamed(drawn(30), died)
    assert chances(blame, drawn(300, seed=2)).mean() < 0.2


@pytest.mark.parametrize("seed", [0, 7])
def test_the_order_of_the_history_does_not_matter_and_the_seed_hardly(seed):
    those = drawn(40)
    lived, died = [v for v in those if not is_pair(v)], [v for v in those if is_pair(v)]
    one, other = blamed(lived, died, seed), blamed(lived[::-1], died, seed)
    fresh = drawn(50, seed=2)
    assert np.array_equal(chances(one, fresh), chances(other, fresh))
    assert np.abs(chances(one, fresh) - chances(blamed(lived, died, 3), fresh)).mean() < 0.1


def test_a_crash_of_an_earlier_study_is_weaker_evidence_and_several_add_up():
    lived = [values for values in drawn(12) if not is_pair(values)]
    died = drawn(4, seed=9, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")
    probe = drawn(20, seed=5, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")

    def fear(crashes, weight):
        return float(chances(accuse(ENCODING, shown(lived), shown(crashes, weight), 0), probe).mean())

    assert fear(died[:1], 0.3) < fear(died[:1], 1.0)
    assert fear(died[:1], 0.3) < fear(died, 0.3)
    assert fear(died, 0.3) > 0.5


def test_what_lived_in_an_earlier_study_exonerates_less_than_an_own_trial():
    died = drawn(1, seed=9, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")
    probe = drawn(20, seed=5, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")

    def fear(weight):
        return float(chances(accuse(ENCODING, shown(probe[:1], weight), shown(died), 0), probe).mean())

    assert fear(1.0) < fear(0.3)


def test_arguments_that_vllm_refuses_are_hardly_a_matter_of_a_range():
    lived = [values for values in drawn(12) if not is_pair(values)]
    died = drawn(1, seed=9, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")
    probe = drawn(40, seed=5, QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")

    def fear(refused):
        crashed = shown(died, clue=Clue(refused=refused))
        return float(chances(accuse(ENCODING, shown(lived), crashed, 0), probe).mean())

    assert fear(True) > fear(False)
