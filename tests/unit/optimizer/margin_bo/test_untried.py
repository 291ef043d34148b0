"""Values that never ran together."""

import numpy as np

from sloguard.api.v1alpha1 import KnobName
from sloguard.optimizer.margin_bo.untried import MOST_COUNTED, risk, surprise_sd, untried_pairs
from tests.unit.optimizer.margin_bo.test_blame import ENCODING, drawn

K = KnobName
PLAIN = {
    **drawn(1)[0],
    K.ENFORCE_EAGER: False,
    K.ENABLE_CHUNKED_PREFILL: True,
    K.ENABLE_PREFIX_CACHING: True,
    K.QUANTIZATION: "none",
    K.KV_CACHE_DTYPE: "auto",
}


def counted(those, served):
    return untried_pairs(ENCODING.configurations(those), ENCODING.configurations(served)).tolist()


def with_(**changed):
    return PLAIN | {K[name]: value for name, value in changed.items()}


def test_what_served_and_what_differs_in_numbers_only_is_not_new():
    assert counted([PLAIN, with_(MAX_NUM_SEQS=200, GPU_MEMORY_UTILIZATION=0.7)], [PLAIN]) == [0, 0]


def test_a_new_value_is_new_with_each_of_the_others():
    assert counted([with_(QUANTIZATION="awq")], [PLAIN]) == [4]


def test_two_known_values_that_never_met_are_one_new_pair():
    served = [PLAIN, with_(QUANTIZATION="awq"), with_(KV_CACHE_DTYPE="fp8")]
    assert counted([with_(QUANTIZATION="awq", KV_CACHE_DTYPE="fp8")], served) == [1]


def test_all_at_once_is_no_wall():
    other = with_(
        ENFORCE_EAGER=True,
        ENABLE_CHUNKED_PREFILL=False,
        ENABLE_PREFIX_CACHING=False,
        QUANTIZATION="awq",
        KV_CACHE_DTYPE="fp8",
    )
    assert counted([other], [PLAIN]) == [MOST_COUNTED]


def test_a_value_from_outside_the_space_counts_for_nothing():
    assert counted([with_(QUANTIZATION="bitsandbytes")], [PLAIN]) == [0]
    assert counted([PLAIN], [with_(QUANTIZATION="bitsandbytes")]) == [4]


def test_what_is_new_may_die_and_may_surprise_and_what_served_does_neither():
    points = ENCODING.configurations(
        [PLAIN, with_(KV_CACHE_DTYPE="fp8"), with_(KV_CACHE_DTYPE="fp8", QUANTIZATION="awq")]
    )
    served = ENCODING.configurations([PLAIN])
    for figures in (risk(points, served), surprise_sd(points, served)):
        assert figures[0] == 0
        assert np.all(np.diff(figures) > 0)
        assert np.all(figures < 0.5)
