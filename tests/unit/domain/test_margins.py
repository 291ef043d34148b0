import pytest

from sloguard.domain.margins import margins_from_log

GIB = 1 << 30
START = """\
(APIServer pid=1) INFO 11-22 08:47:53 [api_server.py:1] vLLM API server version 0.24.0
(EngineCore pid=2) INFO 11-22 08:48:18 [core.py:114] Initializing a V1 LLM engine (v0.24.0) with config: x
(EngineCore pid=2) INFO 11-22 08:48:22 [runner.py:5255] Model loading took 2.98 GiB memory and 0.658955 seconds
(EngineCore pid=2) INFO 11-22 08:48:29 [gpu_model_runner.py:6588] Estimated CUDA graph memory: 0.30 GiB total
(EngineCore pid=2) INFO 11-22 08:48:29 [gpu_worker.py:508] Available KV cache memory: 3.23 GiB
(EngineCore pid=2) INFO 11-22 08:48:29 [kv_cache_utils.py:2146] GPU KV cache size: 120,864 tokens
(EngineCore pid=2) INFO 11-22 08:48:33 [gpu_model_runner.py:6700] Graph capturing finished in 4 secs, took 0.43 GiB
"""


def test_reads_what_a_start_says():
    margins = margins_from_log(START)
    assert margins is not None
    assert margins.available_kv_cache_bytes == round(3.23 * GIB)
    assert margins.kv_cache_tokens == 120_864
    assert margins.model_weights_bytes == round(2.98 * GIB)
    assert margins.cuda_graph_bytes == round(0.43 * GIB)


def test_an_estimate_stands_in_where_capturing_said_nothing():
    margins = margins_from_log("\n".join(START.splitlines()[:-1]))
    assert margins is not None
    assert margins.cuda_graph_bytes == round(0.30 * GIB)


def test_the_last_start_counts():
    again = START.replace("3.23 GiB", "6.56 GiB").replace("120,864", "70,944")
    margins = margins_from_log(START + again)
    assert margins is not None
    assert (margins.available_kv_cache_bytes, margins.kv_cache_tokens) == (round(6.56 * GIB), 70_944)
    failed = "\n".join(START.splitlines()[:3])
    margins = margins_from_log(START + failed)
    assert margins is not None
    assert margins.available_kv_cache_bytes is None


def test_of_several_workers_the_tightest_counts():
    log = "\n".join(
        f"(Worker_TP{rank} pid={rank}) INFO 11-22 08:48:29 [w.py:1] Available KV cache memory: {gib} GiB"
        for rank, gib in enumerate(("3.5", "3.2", "3.4"))
    )
    margins = margins_from_log(log)
    assert margins is not None
    assert margins.available_kv_cache_bytes == round(3.2 * GIB)


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ("70,944", 70_944),
        ("70.944", 70_944),
        ("1 070 944", 1_070_944),
        ("70'944", 70_944),
        ("944", 944),
        ("70944", 70_944),
    ],
)
def test_grouping_of_digits_is_read_in_every_locale(said, tokens):
    margins = margins_from_log(
        f"INFO 11-22 08:48:29 [kv_cache_utils.py:1] GPU KV cache size: {said} tokens, Maximum concurrency"
    )
    assert margins is not None
    assert margins.kv_cache_tokens == tokens


def test_no_room_is_a_negative_margin():
    margins = margins_from_log("INFO 11-22 08:48:29 [gpu_worker.py:508] Available KV cache memory: -1.40 GiB\r\n")
    assert margins is not None
    assert margins.available_kv_cache_bytes == round(-1.40 * GIB)


def test_a_log_that_says_nothing_has_none():
    assert margins_from_log("") is None
    assert margins_from_log("ERROR 11-22 08:48:29 [x.py:1] Available KV cache memory: 1 GiB") is None
