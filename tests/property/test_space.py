"""Whatever a study asks for, a space either refuses with a reason or holds only what may be tried."""

import random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import KnobName, OptimizerName, Preset, SearchSpace
from sloguard.api.v1alpha1.knobs import SWITCHES
from sloguard.domain.knobs import parse_values, text_of
from sloguard.domain.rules import GIB, Context
from sloguard.optimizer import SpaceError, make_optimizer, make_space

K = KnobName


def int_range(name, least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most), st.sampled_from(["Linear", "Log"])).map(
        lambda ends: {"name": name, "int": {"min": min(ends[:2]), "max": max(ends[:2]), "scale": ends[2]}}
    )


def some_of(name, *values):
    return st.lists(st.sampled_from(values), min_size=1, unique=True).map(
        lambda chosen: {"name": name, "choice": {"values": chosen}}
    )


PARAMETERS = st.tuples(
    int_range("max_num_seqs", 1, 2048),
    int_range("max_num_batched_tokens", 1, 65536),
    int_range("max_model_len", 64, 65536),
    st.tuples(st.integers(1, 1000), st.integers(1, 1000)).map(
        lambda ends: {
            "name": "gpu_memory_utilization",
            "decimal": {"min": str(min(ends) / 1000), "max": str(max(ends) / 1000)},
        }
    ),
    *(some_of(name, "true", "false") for name in sorted(SWITCHES)),
    some_of("kv_cache_dtype", "auto", "fp8"),
    some_of("block_size", "16", "32", "64"),
)


@st.composite
def search_spaces(draw):
    parameters = draw(PARAMETERS.flatmap(lambda every: st.lists(st.sampled_from(every), unique_by=lambda p: p["name"])))
    preset = draw(st.sampled_from(list(Preset))) if parameters else Preset.CORE
    conditional = [p for p in parameters if p["name"] == "enable_chunked_prefill"]
    eager = [p for p in parameters if p["name"] == "enforce_eager" and "false" in p["choice"]["values"]]
    if conditional and eager and draw(st.booleans()):
        parameters[parameters.index(conditional[0])] = {
            **conditional[0],
            "when": {"name": "enforce_eager", "equals": "false"},
        }
    return SearchSpace.model_validate(
        {"preset": preset, "parameters": parameters, "allowQualityChange": draw(st.booleans())}
    )


PRODUCTION = st.fixed_dictionaries(
    {},
    optional={
        K.MAX_NUM_SEQS: st.integers(1, 4096),
        K.MAX_NUM_BATCHED_TOKENS: st.integers(1, 10**6),
        K.MAX_MODEL_LEN: st.one_of(st.integers(1, 10**6), st.just("auto")),
        K.GPU_MEMORY_UTILIZATION: st.sampled_from([0.3, 0.9, 0.985]),
        K.ENFORCE_EAGER: st.booleans(),
        K.ENABLE_CHUNKED_PREFILL: st.booleans(),
        K.QUANTIZATION: st.sampled_from(["awq", "fp8"]),
    },
)
CONTEXTS = st.builds(
    Context,
    vram_bytes=st.sampled_from([None, 24 * GIB, 180 * GIB]),
    min_model_len_tokens=st.one_of(st.none(), st.integers(1, 10_000)),
)


@settings(deadline=None)  # finding a space empty looks at a thousand points
@given(search_spaces(), PRODUCTION, CONTEXTS, st.integers(0, 5))
def test_what_a_space_offers_may_be_tried(search_space, production, context, seed):
    try:
        space = make_space(search_space, production, context)
    except SpaceError:
        event("refused")
        return
    event("made")
    assert not set(space.context.fixed) & set(space.names)
    assert set(production) <= set(space.context.fixed) | set(space.names)
    values = space.sample(random.Random(seed))
    if values is not None:
        assert space.contains(values)
        assert space.decode(space.encode(values)) == values
        assert space.key(parse_values(text_of(values))) == space.key(values)
        assert all(space.contains(neighbour) for neighbour in space.neighbours(values))
    suggestion = make_optimizer(OptimizerName.RANDOM, space, seed).ask([], [])
    assert suggestion is None or space.contains(suggestion.parameters)
    if not search_space.allow_quality_change:
        assert not {K.QUANTIZATION, K.KV_CACHE_DTYPE} & set(space.names)
        if K.MAX_MODEL_LEN in space.names:
            assert space.domains[K.MAX_MODEL_LEN].low >= production[K.MAX_MODEL_LEN]
