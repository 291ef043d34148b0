"""Whatever servers have told of their memory, what margin-bo expects does not depend on who told it first."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import Crash, CrashClass, CrashPhase, Fault, KnobName, Margins, Outcome, SearchSpace
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.margin_bo.encoding import Encoding
from sloguard.optimizer.margin_bo.memory import learn
from tests.bench.lands.recorded import SEARCH_SPACE

K = KnobName
GIB = 2**30
SPACE = make_space(SearchSpace.model_validate(SEARCH_SPACE), {}, Context())
ENCODING = Encoding(SPACE, Context(vram_bytes=24 * GIB))

CONFIGURATIONS = st.fixed_dictionaries(
    {
        K.GPU_MEMORY_UTILIZATION: st.integers(60, 99).map(lambda percent: percent / 100),
        K.MAX_NUM_SEQS: st.integers(4, 512),
        K.MAX_NUM_BATCHED_TOKENS: st.integers(512, 32768),
        K.MAX_MODEL_LEN: st.integers(2048, 24576),
        K.ENFORCE_EAGER: st.booleans(),
        K.KV_CACHE_DTYPE: st.sampled_from(["auto", "fp8"]),
    }
)
FIGURE = st.none() | st.floats(0, 20, allow_subnormal=False).map(lambda gib: round(gib * GIB))
MARGINS = st.none() | st.builds(
    Margins,
    available_kv_cache_bytes=FIGURE,
    model_weights_bytes=FIGURE,
    cuda_graph_bytes=FIGURE,
    least_free_device_memory_bytes=FIGURE,
)
CRASHES = st.builds(
    Crash,
    class_=st.sampled_from([CrashClass.CUDA_OUT_OF_MEMORY, CrashClass.NO_KV_CACHE_ROOM, CrashClass.GPU_FAULT]),
    fault=st.just(Fault.CONFIGURATION),
    phase=st.just(CrashPhase.SERVING),
)
LIVED = st.builds(Result, st.just(0), CONFIGURATIONS, st.just(Outcome.FEASIBLE), st.just(1.0), margins=MARGINS)
DIED = st.builds(Result, st.just(0), CONFIGURATIONS, st.just(Outcome.CRASHED), crash=CRASHES, margins=MARGINS)


def expected(history, points):
    memory = learn(ENCODING, history, ENCODING.configurations([result.parameters for result in history]))
    return np.concatenate([*memory.kv_gib(points), *memory.free_gib(points), memory.starts(points)])


@settings(deadline=None)
@given(
    history=st.lists(LIVED | DIED, min_size=1, max_size=12), asked=st.lists(CONFIGURATIONS, min_size=1), data=st.data()
)
def test_the_order_of_the_history_does_not_matter_and_nothing_overflows(history, asked, data):
    points = ENCODING.configurations(asked)
    told = expected(history, points)
    assert np.isfinite(told).all()
    assert np.abs(told).max() < 1000, "GiB, or a chance"
    assert np.allclose(told, expected(data.draw(st.permutations(history)), points), rtol=1e-4, atol=1e-4)
