import re

import pytest

from sloguard.api.v1alpha1 import KnobName
from sloguard.api.v1alpha1.trial import Parameters, TrialSpec
from sloguard.domain.knobs import KNOBS, Kind, KnobError, parse_value, parse_values, text_of, value_text

K = KnobName


def test_every_name_of_the_api_is_in_the_catalogue():
    assert list(KNOBS) == list(KnobName)


@pytest.mark.parametrize("knob", KNOBS.values(), ids=lambda knob: knob.name.value)
def test_every_entry_is_complete(knob):
    assert re.fullmatch(r"--[a-z-]+", knob.flag)
    assert knob.description.endswith(".")
    assert knob.default_text
    assert knob.source.startswith("vllm/")
    assert bool(knob.choices) == (knob.kind is Kind.CHOICE)
    if knob.default is not None:
        assert parse_value(knob.name, value_text(knob.default)) == knob.default


def test_only_settings_that_change_answers_are_marked():
    assert {knob.name for knob in KNOBS.values() if knob.quality_changing} == {K.QUANTIZATION, K.KV_CACHE_DTYPE}
    assert {knob.name for knob in KNOBS.values() if knob.quality_changing_when_lower} == {K.MAX_MODEL_LEN}


@pytest.mark.parametrize(
    ("name", "text", "value", "canonical"),
    [
        (K.MAX_NUM_SEQS, "64", 64, "64"),
        (K.MAX_NUM_SEQS, "064", 64, "64"),
        (K.MAX_MODEL_LEN, "32k", 32_000, "32000"),
        (K.MAX_MODEL_LEN, "32K", 32_768, "32768"),
        (K.MAX_MODEL_LEN, "25.6k", 25_600, "25600"),
        (K.MAX_MODEL_LEN, "auto", "auto", "auto"),
        (K.MAX_MODEL_LEN, "-1", "auto", "auto"),
        (K.GPU_MEMORY_UTILIZATION, "0.92", 0.92, "0.92"),
        (K.GPU_MEMORY_UTILIZATION, ".9", 0.9, "0.9"),
        (K.GPU_MEMORY_UTILIZATION, "1.0", 1.0, "1"),
        (K.GPU_MEMORY_UTILIZATION, "0.92345678", 0.92345678, "0.9235"),
        (K.GPU_MEMORY_UTILIZATION, "9.5e-1", 0.95, "0.95"),
        (K.ENFORCE_EAGER, "True", True, "true"),
        (K.ENABLE_PREFIX_CACHING, "false", False, "false"),
        (K.QUANTIZATION, "fp8", "fp8", "fp8"),
        (K.QUANTIZATION, "None", "none", "none"),
        (K.LONG_PREFILL_TOKEN_THRESHOLD, "0", 0, "0"),
    ],
)
def test_text_to_value_and_back(name, text, value, canonical):
    parsed = parse_values({name: text})
    assert parsed == {name: value}
    assert type(parsed[name]) is type(value)
    assert text_of(parsed) == {name: canonical}
    TrialSpec(study="s", number=0, purpose="Search", parameters=Parameters(text_of(parsed)))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (K.MAX_NUM_SEQS, "many", ["max_num_seqs", "many", "whole number"]),
        (K.MAX_NUM_SEQS, "", ["max_num_seqs", "whole number"]),
        (K.MAX_NUM_SEQS, "0", ["max_num_seqs", "0", "below 1", "raise"]),
        (K.MAX_NUM_SEQS, "auto", ["max_num_seqs", "auto"]),
        (K.MAX_NUM_SEQS, "$(SEQS)", ["max_num_seqs", "$(SEQS)"]),
        (K.MAX_MODEL_LEN, "1.5K", ["max_model_len", "1.5K"]),
        (K.GPU_MEMORY_UTILIZATION, "92", ["gpu_memory_utilization", "92", "above 1", "lower"]),
        (K.GPU_MEMORY_UTILIZATION, "0", ["gpu_memory_utilization", "below"]),
        (K.GPU_MEMORY_UTILIZATION, "nan", ["gpu_memory_utilization", "nan", "decimal"]),
        (K.GPU_MEMORY_UTILIZATION, "high", ["gpu_memory_utilization", "high", "0.92"]),
        (K.ENFORCE_EAGER, "yes", ["enforce_eager", "yes", "true"]),
        (K.QUANTIZATION, "", ["quantization", "fp8"]),
        (K.QUANTIZATION, "--port", ["quantization", "--port"]),
    ],
)
def test_a_bad_value_is_named_with_its_knob_and_a_remedy(name, text, words):
    with pytest.raises(KnobError) as refusal:
        parse_values({name: text})
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


def test_the_catalogues_order_whatever_the_order_given():
    given = {K.QUANTIZATION: "fp8", K.MAX_NUM_SEQS: "8"}
    assert list(parse_values(given)) == [K.MAX_NUM_SEQS, K.QUANTIZATION]
    assert list(text_of({K.QUANTIZATION: "fp8", K.MAX_NUM_SEQS: 8})) == [K.MAX_NUM_SEQS, K.QUANTIZATION]
