import pytest

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.rules import GIB, Context, batch_defaults, broken_rule, effective

K = KnobName


@pytest.mark.parametrize(
    ("gib", "name", "expected"),
    [
        (24, "", (256, 2048)),
        (80, "NVIDIA H100 80GB HBM3", (1024, 8192)),
        (80, "NVIDIA A100-SXM4-80GB", (256, 2048)),
        (80, "", None),
        (180, "", (1024, 16384)),
        (None, "NVIDIA H100", None),
    ],
)
def test_vllms_default_batch_depends_on_the_gpu(gib, name, expected):
    assert batch_defaults(None if gib is None else gib * GIB, name) == expected


@pytest.mark.parametrize(
    ("values", "context", "words"),
    [
        ({K.MAX_NUM_SEQS: 64, K.MAX_NUM_BATCHED_TOKENS: 32}, Context(), ["32", "64"]),
        ({K.MAX_NUM_SEQS: 4096}, Context(vram_bytes=24 * GIB), ["2048", "4096"]),
        ({K.MAX_NUM_SEQS: 64}, Context(fixed={K.MAX_NUM_BATCHED_TOKENS: 32}), ["32", "64"]),
        (
            {K.ENABLE_CHUNKED_PREFILL: False, K.MAX_NUM_BATCHED_TOKENS: 2048, K.MAX_MODEL_LEN: 4096},
            Context(),
            ["2048", "4096", "enable_chunked_prefill"],
        ),
        (
            {K.ENABLE_CHUNKED_PREFILL: False, K.MAX_NUM_BATCHED_TOKENS: 2048},
            Context(min_model_len_tokens=3000),
            ["2048", "3000"],
        ),
        ({K.GPU_MEMORY_UTILIZATION: 1.1}, Context(), ["1.1", "at most 1"]),
        ({K.GPU_MEMORY_UTILIZATION: 0.0}, Context(), ["above 0"]),
        ({K.MAX_MODEL_LEN: 2048}, Context(min_model_len_tokens=2049), ["2048", "2049", "workload"]),
        ({}, Context(fixed={K.MAX_MODEL_LEN: 100}, min_model_len_tokens=200), ["100", "200"]),
        ({K.LONG_PREFILL_TOKEN_THRESHOLD: 4096, K.MAX_MODEL_LEN: 2048}, Context(), ["4096", "2048"]),
    ],
)
def test_what_vllm_or_the_workload_refuses(values, context, words):
    sentence = broken_rule(values, context)
    assert sentence is not None
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("values", "context"),
    [
        ({}, Context()),
        ({K.MAX_NUM_SEQS: 64, K.MAX_NUM_BATCHED_TOKENS: 64}, Context()),
        # Unknown: the GPU's default may be large enough.
        ({K.MAX_NUM_SEQS: 4096}, Context()),
        ({K.MAX_NUM_SEQS: 4096}, Context(vram_bytes=180 * GIB)),
        # vLLM lowers its own default of max_num_seqs to fit.
        ({K.MAX_NUM_BATCHED_TOKENS: 64}, Context(vram_bytes=24 * GIB)),
        # vLLM raises its own default of max_num_batched_tokens to max_model_len.
        ({K.ENABLE_CHUNKED_PREFILL: False, K.MAX_MODEL_LEN: 32768}, Context(vram_bytes=24 * GIB)),
        ({K.ENABLE_CHUNKED_PREFILL: False, K.MAX_NUM_BATCHED_TOKENS: 64}, Context()),
        ({K.ENABLE_CHUNKED_PREFILL: True, K.MAX_NUM_BATCHED_TOKENS: 512, K.MAX_MODEL_LEN: 4096}, Context()),
        ({K.MAX_MODEL_LEN: "auto"}, Context(min_model_len_tokens=5000)),
        ({K.MAX_MODEL_LEN: 5000}, Context(min_model_len_tokens=5000)),
        ({K.GPU_MEMORY_UTILIZATION: 1.0}, Context()),
    ],
)
def test_what_vllm_may_accept_is_never_refused(values, context):
    assert broken_rule(values, context) is None


def test_throughput_mode_doubles_the_defaults():
    context = Context(vram_bytes=24 * GIB)
    known = effective({K.PERFORMANCE_MODE: "throughput", K.MAX_MODEL_LEN: 4096}, context)
    assert (known[K.MAX_NUM_SEQS], known[K.MAX_NUM_BATCHED_TOKENS]) == (512, 4096)


def test_a_candidates_value_outweighs_productions():
    known = effective({K.MAX_NUM_SEQS: 8}, Context(fixed={K.MAX_NUM_SEQS: 64, K.BLOCK_SIZE: 32}))
    assert (known[K.MAX_NUM_SEQS], known[K.BLOCK_SIZE]) == (8, 32)
