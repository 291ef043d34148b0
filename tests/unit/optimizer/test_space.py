import random

import pytest

from sloguard.api.v1alpha1 import KnobName, SearchSpace
from sloguard.domain.rules import GIB, Context
from sloguard.optimizer import SpaceError, make_space

K = KnobName
TODAY = {K.MAX_NUM_SEQS: 64, K.MAX_MODEL_LEN: 8192, K.QUANTIZATION: "awq"}


def space_of(production=TODAY, context=None, **search_space):
    return make_space(SearchSpace.model_validate(search_space), production, context or Context())


def only(*parameters, production=TODAY, context=None, **search_space):
    return space_of(production, context, preset="None", parameters=list(parameters), **search_space)


def ints(name, low, high, **more):
    return {"name": name, "int": {"min": low, "max": high}, **more}


def choices(name, *values, **more):
    return {"name": name, "choice": {"values": list(values)}, **more}


def test_core_without_quality_change_keeps_what_changes_answers_and_says_so():
    space = space_of()
    assert space.names == (
        K.MAX_NUM_SEQS,
        K.MAX_NUM_BATCHED_TOKENS,
        K.GPU_MEMORY_UTILIZATION,
        K.ENFORCE_EAGER,
        K.ENABLE_CHUNKED_PREFILL,
        K.ENABLE_PREFIX_CACHING,
    )
    assert space.context.fixed == {K.MAX_MODEL_LEN: 8192, K.QUANTIZATION: "awq"}
    assert any("max_model_len and quantization stay" in note for note in space.notes)


def test_core_with_quality_change_has_the_seeds_eight():
    space = space_of(allowQualityChange=True, context=Context(min_model_len_tokens=3000))
    assert len(space.names) == 8
    assert (space.domains[K.MAX_MODEL_LEN].low, space.domains[K.MAX_MODEL_LEN].high) == (3000, 8192)
    assert space.domains[K.QUANTIZATION].values == ("awq",), "production's checkpoint is compressed already"


def test_a_presets_range_is_stretched_to_productions_value():
    space = space_of({K.MAX_NUM_SEQS: 2, K.MAX_NUM_BATCHED_TOKENS: 32768, K.GPU_MEMORY_UTILIZATION: 0.985})
    assert space.domains[K.MAX_NUM_SEQS].low == 2
    assert space.domains[K.MAX_NUM_BATCHED_TOKENS].high == 32768
    assert space.domains[K.GPU_MEMORY_UTILIZATION].high == 0.985


def test_productions_choice_is_among_the_candidates():
    space = space_of({K.KV_CACHE_DTYPE: "fp8_e5m2"}, preset="Extended", allowQualityChange=True)
    assert "fp8_e5m2" in space.domains[K.KV_CACHE_DTYPE].values


def test_a_parameter_takes_the_presets_place():
    space = space_of(parameters=[choices("max_num_seqs", "8", "16")])
    assert space.domains[K.MAX_NUM_SEQS].values == (8, 16)
    assert K.MAX_NUM_BATCHED_TOKENS in space.names


def test_chunked_prefill_off_is_pointed_out():
    assert any("answer wrongly" in note for note in space_of().notes)
    quiet = space_of(parameters=[choices("enable_chunked_prefill", "true")])
    assert not any("answer wrongly" in note for note in quiet.notes)


def test_quality_changing_parameters_are_dropped_unless_allowed():
    asked = [choices("kv_cache_dtype", "auto", "fp8"), ints("max_num_seqs", 1, 8)]
    space = only(*asked)
    assert space.names == (K.MAX_NUM_SEQS,)
    assert any("kv_cache_dtype stays" in note and "allowQualityChange" in note for note in space.notes)
    assert K.KV_CACHE_DTYPE in only(*asked, allowQualityChange=True).names


def test_max_model_len_is_not_searched_below_productions():
    space = only(ints("max_model_len", 1024, 16384))
    assert (space.domains[K.MAX_MODEL_LEN].low, space.domains[K.MAX_MODEL_LEN].high) == (8192, 16384)
    assert any("max_model_len is searched from 8192" in note for note in space.notes)
    assert only(ints("max_model_len", 1024, 16384), allowQualityChange=True).domains[K.MAX_MODEL_LEN].low == 1024


def test_max_model_len_stays_where_productions_is_unknown():
    space = only(ints("max_model_len", 1024, 16384), ints("max_num_seqs", 1, 8), production={K.MAX_MODEL_LEN: "auto"})
    assert space.names == (K.MAX_NUM_SEQS,)
    assert any("max_model_len stays" in note for note in space.notes)


def test_max_model_len_is_not_searched_below_the_workload():
    space = only(
        choices("max_model_len", "1024", "4096", "8192"),
        allowQualityChange=True,
        context=Context(min_model_len_tokens=2000),
    )
    assert space.domains[K.MAX_MODEL_LEN].values == (4096, 8192)
    assert any("from 2000" in note and "outputTokens.max" in note for note in space.notes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: only(ints("max_model_len", 512, 4096)), ["max_model_len", "4096", "8192", "allowQualityChange"]),
        (
            lambda: only(ints("max_num_seqs", 512, 1024), choices("max_num_batched_tokens", "8", "16")),
            ["no valid configuration", "max_num_batched_tokens", "max_num_seqs", "widen"],
        ),
        (lambda: only(choices("quantization", "fp8")), ["nothing to tune", "quantization", "allowQualityChange"]),
        (lambda: only(ints("max_num_seqs", 4, 8), context=Context(min_model_len_tokens=9000)), ["8192", "9000"]),
        (lambda: only(choices("max_num_seqs", "0", "8")), ["max_num_seqs", "0", "below 1"]),
        (
            lambda: space_of(
                parameters=[ints("stream_interval", 1, 2, when={"name": "enforce_eager", "equals": "yes"})]
            ),
            ["stream_interval.when", "yes", "true"],
        ),
        (
            lambda: only(
                ints("max_num_seqs", 4, 8),
                ints("max_num_batched_tokens", 4, 8),
                context=Context(fixed={K.ENABLE_CHUNKED_PREFILL: False}),
            ),
            ["max_num_batched_tokens", "8192", "enable_chunked_prefill"],
        ),
    ],
)
def test_a_space_with_nothing_to_try_is_refused_with_field_value_and_remedy(make, words):
    with pytest.raises(SpaceError) as refusal:
        make()
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


CHUNKS = choices("enable_chunked_prefill", "true", "false", when={"name": "enforce_eager", "equals": "false"})
EAGER = choices("enforce_eager", "true", "false")


def test_a_conditional_knob_is_active_only_under_its_condition():
    space = only(EAGER, CHUNKS)
    assert space.size == 3
    assert space.active({K.ENFORCE_EAGER: True}) == (K.ENFORCE_EAGER,)
    assert space.contains({K.ENFORCE_EAGER: True})
    assert not space.contains({K.ENFORCE_EAGER: True, K.ENABLE_CHUNKED_PREFILL: True})
    assert not space.contains({K.ENFORCE_EAGER: False})
    assert space.contains({K.ENFORCE_EAGER: False, K.ENABLE_CHUNKED_PREFILL: True})


def test_a_condition_on_a_knob_outside_the_space_holds_for_good_or_never():
    asked = [choices("kv_cache_dtype", "auto", "fp8"), ints("max_num_seqs", 1, 4)]
    interval = ints("stream_interval", 1, 4, when={"name": "kv_cache_dtype", "equals": "fp8"})
    always = only(*asked, interval, production={K.KV_CACHE_DTYPE: "fp8"})
    assert always.active({K.MAX_NUM_SEQS: 1}) == (K.MAX_NUM_SEQS, K.STREAM_INTERVAL)
    never = only(*asked, interval, production={})
    assert never.names == (K.MAX_NUM_SEQS,)
    assert any("stream_interval is not searched: it needs kv_cache_dtype fp8" in note for note in never.notes)


def test_a_condition_on_a_value_that_is_not_searched_never_holds():
    space = space_of(parameters=[ints("stream_interval", 1, 4, when={"name": "max_num_seqs", "equals": "9999"})])
    assert K.STREAM_INTERVAL not in space.names
    assert any("max_num_seqs 9999 is not among what is searched" in note for note in space.notes)


def test_a_default_said_or_left_out_is_one_configuration():
    space = space_of({}, Context(vram_bytes=24 * GIB))
    assert space.key({}) == space.key({K.MAX_NUM_SEQS: 256, K.ENFORCE_EAGER: False, K.GPU_MEMORY_UTILIZATION: 0.92})
    assert space.key({}) != space.key({K.MAX_NUM_SEQS: 255})
    assert space.key({K.QUANTIZATION: "fp8"}) == space.key({}), "not a knob of this space"


def test_encode_and_decode_agree():
    space = space_of(preset="Extended", allowQualityChange=True)
    rng = random.Random(4)
    for _ in range(50):
        values = space.sample(rng)
        assert space.contains(values)
        assert space.decode(space.encode(values)) == values
        assert space.distance(values, values) == 0


def test_neighbours_differ_in_one_knob_and_are_valid():
    space = only(EAGER, CHUNKS, ints("max_num_seqs", 1, 9))
    start = {K.MAX_NUM_SEQS: 5, K.ENFORCE_EAGER: True}
    found = list(space.neighbours(start))
    assert all(space.contains(values) for values in found)
    assert {values[K.MAX_NUM_SEQS] for values in found} == {4, 5, 6}
    assert {K.MAX_NUM_SEQS: 5, K.ENFORCE_EAGER: False, K.ENABLE_CHUNKED_PREFILL: True} in found


def test_the_nearest_unseen_configuration():
    space = only(ints("max_num_seqs", 1, 9))
    seen = {space.key({K.MAX_NUM_SEQS: n}) for n in (4, 5, 6)}
    assert space.nearest_unseen({K.MAX_NUM_SEQS: 5}, seen)[K.MAX_NUM_SEQS] in {3, 7}
    every = {space.key({K.MAX_NUM_SEQS: n}) for n in range(1, 10)}
    assert space.nearest_unseen({K.MAX_NUM_SEQS: 5}, every) is None


def test_a_space_too_large_to_list_has_no_size():
    assert space_of().size is None
    assert space_of().nearest_unseen({K.MAX_NUM_SEQS: 64}, set()) is not None
