"""The memory model: what it foretells of real servers, and what crashes without figures teach it."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from sloguard.api.v1alpha1 import Crash, CrashClass, CrashPhase, Fault, KnobName, Margins, Outcome, SearchSpace
from sloguard.domain.crash import classify_lines
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.margin_bo.card import card_gib
from sloguard.optimizer.margin_bo.encoding import Encoding
from sloguard.optimizer.margin_bo.memory import learn
from sloguard.optimizer.margin_bo.readings import GIB, read
from tests.bench.lands.recorded import SEARCH_SPACE, recordings

K = KnobName
SPACE = make_space(SearchSpace.model_validate(SEARCH_SPACE), {}, Context())
KNOBS_BY_TEXT = {name.value: name for name in KnobName}


def started(number, config, kv_gib, weights_gib=None, graphs_gib=None, tokens=None, free_gib=None):
    margins = Margins(
        least_free_device_memory_bytes=None if free_gib is None else round(free_gib * GIB),
        available_kv_cache_bytes=round(kv_gib * GIB),
        kv_cache_tokens=tokens,
        model_weights_bytes=None if weights_gib is None else round(weights_gib * GIB),
        cuda_graph_bytes=None if graphs_gib is None else round(graphs_gib * GIB),
    )
    return Result(number, config, Outcome.FEASIBLE, 1.0, (0.5,), margins=margins)


def crashed(number, config, class_, phase=None):
    crash = Crash(class_=class_, fault=Fault.CONFIGURATION, phase=phase, cause="")
    return Result(number, config, Outcome.CRASHED, crash=crash)


def refused(number, config, *log):
    """With the verdict on what vLLM said."""
    return Result(number, config, Outcome.CRASHED, crash=classify_lines(log, exit_code=1))


def recorded(vram_gib):
    """Real starts that told their KV cache; vLLM's defaults are those of a small card."""
    rows = [r for r in recordings() if r["vram_gib"] == vram_gib and r["kv_gib"] is not None and r["kv_gib"] > 0]
    return [
        started(
            number,
            {KNOBS_BY_TEXT[text]: value for text, value in r["config"].items()},
            r["kv_gib"],
            r["weights_gib"],
            r["graphs_gib"],
            r["kv_tokens"],
        )
        for number, r in enumerate(rows)
    ]


def learnt(results, vram_gib=None):
    """The memory model, with a way to encode configurations for it."""
    vram = card_gib(SPACE.context, results) if vram_gib is None else vram_gib
    encoding = Encoding(SPACE, Context(vram_bytes=None if vram is None else int(vram * GIB)))
    return learn(encoding, results, encoding.configurations([r.parameters for r in results])), encoding


@pytest.mark.parametrize("vram_gib", [24, 8])
def test_one_real_start_tells_the_size_of_the_card(vram_gib):
    sizes = [learnt([result])[0].vram_gib for result in recorded(vram_gib)]
    assert sum(size == vram_gib for size in sizes) >= 0.8 * len(sizes)


def test_its_interval_of_ninety_percent_holds_about_that_share_of_real_starts():
    held = total = 0
    errors = []
    for seed in range(6):
        for vram_gib in (24, 8):
            order = Random(seed).sample(recorded(vram_gib), len(recorded(vram_gib)))
            for known in (3, 6, 12):
                memory, encoding = learnt(order[:known], vram_gib)
                unseen = order[known:]
                mean, sd = memory.kv_gib(encoding.configurations([r.parameters for r in unseen]))
                truth = np.array([r.margins.available_kv_cache_bytes / GIB for r in unseen])
                held += int((np.abs(truth - mean) < 1.645 * sd).sum())
                total += len(unseen)
                errors += np.abs(truth - mean).tolist() if known == 6 else []
    assert 0.85 <= held / total <= 0.99
    assert np.median(errors) < 0.35


def test_what_it_knows_does_not_depend_on_the_order_of_the_history():
    results = recorded(24)[:20]
    points = [r.parameters for r in recorded(24)[20:]]
    memory, encoding = learnt(results, 24)
    other, _ = learnt(results[::-1], 24)
    those = encoding.configurations(points)
    assert np.allclose(memory.kv_gib(those), other.kv_gib(those), atol=1e-6)
    assert np.allclose(memory.starts(those), other.starts(those), atol=1e-6)


CONFIG = {K.GPU_MEMORY_UTILIZATION: 0.8, K.MAX_NUM_SEQS: 64, K.MAX_NUM_BATCHED_TOKENS: 2048, K.MAX_MODEL_LEN: 8192}
KNOWN = started(0, {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.92}, 6.4, 14.3, 0.4, 120_000)


def test_a_refusal_for_lack_of_room_teaches_even_without_a_figure():
    result = crashed(1, CONFIG, CrashClass.NO_KV_CACHE_ROOM)
    before, encoding = learnt([KNOWN], 24)
    after, _ = learnt([KNOWN, result], 24)
    point = encoding.configurations([CONFIG])
    assert after.kv_gib(point)[0][0] < before.kv_gib(point)[0][0] - 0.2
    assert after.starts(point)[0] < before.starts(point)[0]


def test_a_message_with_a_figure_teaches_that_figure():
    low = {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.62}
    result = refused(
        1,
        low,
        "INFO 11-20 10:00:00 [gpu_worker.py:301] Available KV cache memory: -1.41 GiB",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.",
    )
    assert read(result).kv_gib == pytest.approx(-1.41)
    before, encoding = learnt([KNOWN], 24)
    after, _ = learnt([KNOWN, result], 24)
    point = encoding.configurations([low])
    assert -1.5 < after.kv_gib(point)[0][0] < before.kv_gib(point)[0][0]
    assert after.starts(point)[0] < 0.01


def test_a_message_about_one_request_tells_need_and_size():
    cause = (
        "ValueError: To serve at least one request with the model's max seq len (32768), (1.75 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (1.41 GiB). Based on the available memory, the estimated "
        "maximum model length is 26464."
    )
    values = {name: value for name, value in CONFIG.items() if name is not K.MAX_MODEL_LEN}
    result = refused(1, values, cause)
    reading = read(result)
    assert (reading.kv_gib, reading.need_gib) == (pytest.approx(1.41), 1.75)
    assert reading.bytes_per_token == pytest.approx(57344, rel=0.01)
    asked = refused(1, {**values, K.MAX_MODEL_LEN: 32768}, cause)
    assert read(asked).bytes_per_token == pytest.approx(57344, rel=0.001)
    memory, encoding = learnt([result], 24)
    assert memory.need_gib(encoding.configurations([values]))[0] == 1.75
    assert memory.need_gib(encoding.configurations([{**values, K.KV_CACHE_DTYPE: "fp8", K.MAX_MODEL_LEN: 32768}]))[
        0
    ] == pytest.approx(0.875, rel=0.01)


def test_running_out_of_memory_under_load_is_expected_again_nearby_and_served_ones_acquit():
    high = {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.95}
    died = crashed(1, high, CrashClass.CUDA_OUT_OF_MEMORY, CrashPhase.SERVING)
    before, encoding = learnt([KNOWN], 24)
    after, _ = learnt([KNOWN, died], 24)
    safe, _ = learnt([KNOWN, started(1, high, 7.0, 14.3, 0.4, 130_000)], 24)
    point = encoding.configurations([high])
    assert after.starts(point)[0] < 0.7 * before.starts(point)[0]
    assert safe.starts(point)[0] > before.starts(point)[0]
    assert after.starts(encoding.configurations([CONFIG]))[0] > 0.8


def survival(free_gib, asked=0.95):
    """Expected at a higher utilization, once a start at 0.92 has left that much free, as its two repeats did."""
    repeats = [
        started(n, {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.92}, 6.4, 14.3, 0.4, 120_000, free_gib) for n in range(3)
    ]
    memory, encoding = learnt(repeats, 24)
    return memory.starts(encoding.configurations([{**CONFIG, K.GPU_MEMORY_UTILIZATION: asked}]))[0]


def test_little_left_under_load_is_a_warning_and_much_left_is_none():
    assert survival(0.1) < 0.4
    assert survival(1.4) > 0.75
    assert survival(0.1, asked=0.8) > 0.95


def near_the_edge(*crashes):
    """Expected at 0.96 once starts from 0.90 to 0.95 told what they left, with noise, and some at 0.96 ran out."""
    noise = Random(3)
    lived = [
        started(
            n, {**CONFIG, K.GPU_MEMORY_UTILIZATION: u}, 6.4, 14.3, 0.4, 120_000, 24 * (0.965 - u) + noise.gauss(0, 0.3)
        )
        for n, u in enumerate((0.90, 0.92, 0.93, 0.94, 0.94, 0.95))
    ]
    died = [
        crashed(9 + n, {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.96, K.MAX_NUM_SEQS: seqs}, CrashClass.CUDA_OUT_OF_MEMORY)
        for n, seqs in enumerate(crashes)
    ]
    memory, encoding = learnt([*lived, *died], 24)
    return memory.starts(encoding.configurations([{**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.96, K.MAX_NUM_SEQS: 72}]))[0]


def test_what_ran_out_once_is_not_a_fresh_chance_a_few_sequences_further():
    """How badly free memory is read is no luck of the server's."""
    assert near_the_edge() > 0.5
    assert near_the_edge(64) < 0.75 * near_the_edge()
    assert near_the_edge(64, 68) < 0.5 * near_the_edge()


def test_what_is_left_under_load_would_have_been_granted():
    config = {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.9}
    higher = {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.95}
    without, encoding = learnt([started(n, config, 6.0, 14.3, 0.4, 110_000) for n in range(3)], 24)
    seen, _ = learnt([started(n, config, 6.0, 14.3, 0.4, 110_000, free_gib=1.8) for n in range(3)], 24)
    assert without._granted(encoding.configurations([higher]))[0] < 0.9
    assert seen._granted(encoding.configurations([higher]))[0] == 1
    assert seen._granted(encoding.configurations([{**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.995}]))[0] == 0


def test_of_a_server_that_ran_out_no_sample_from_before_counts():
    high = {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.95}
    died = crashed(1, high, CrashClass.CUDA_OUT_OF_MEMORY, CrashPhase.SERVING)
    seen = replace(died, margins=Margins(least_free_device_memory_bytes=3 * round(GIB)))
    without, encoding = learnt([KNOWN, died], 24)
    given, _ = learnt([KNOWN, seen], 24)
    point = encoding.configurations([high])
    assert given.starts(point)[0] == pytest.approx(without.starts(point)[0])
    assert given.free_gib(point)[0][0] < 0.5


def test_what_nvml_says_of_the_card_is_believed_before_any_guess():
    margins = KNOWN.margins.model_copy(update={"device_memory_bytes": round(22.5 * GIB)})
    assert card_gib(Context(), [KNOWN, replace(KNOWN, margins=margins)]) == pytest.approx(22.5)


def test_servers_that_see_a_part_of_the_card_are_believed_before_nvml():
    """As one H200 of 140 GiB was seen by servers that a shim let have 24: 69 GiB of cache were expected, 6 found."""
    whole = Context(vram_bytes=round(139.8 * GIB))
    lived = started(0, {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.92}, 6.15, 14.29, 0.46, 115_232, free_gib=117.4)
    assert card_gib(whole, []) == pytest.approx(139.8)
    assert card_gib(whole, [lived]) == 24
    results = [lived, crashed(1, {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.61}, CrashClass.NO_KV_CACHE_ROOM)]
    memory, encoding = learnt(results, card_gib(whole, results))
    points = encoding.configurations([{**CONFIG, K.GPU_MEMORY_UTILIZATION: share} for share in (0.6, 0.9, 0.995)])
    low, high, beyond = memory.starts(points)
    assert low < 0.05
    assert high > 0.9
    assert beyond < 0.3, "what NVML calls free is not what these servers may ask for"


def test_the_utilization_that_a_message_names_is_a_wall():
    values = {**CONFIG, K.GPU_MEMORY_UTILIZATION: 0.99}
    result = refused(
        1,
        values,
        "ValueError: Free memory on device cuda:0 (23.49/24.0 GiB) on startup is less than desired GPU memory "
        "utilization (0.99, 23.76 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
    )
    memory, encoding = learnt([result])
    assert memory.vram_gib == 24
    at = [encoding.configurations([{**CONFIG, K.GPU_MEMORY_UTILIZATION: u}]) for u in (0.97, 0.98)]
    assert memory._granted(at[0])[0] == 1
    assert memory._granted(at[1])[0] == 0


def test_with_nothing_known_nothing_is_ruled_out():
    memory, encoding = learnt([])
    alive = memory.starts(encoding.configurations([CONFIG, {}]))
    assert ((alive > 0.05) & (alive < 1)).all()


def test_concurrency_is_what_max_num_seqs_allows_or_the_cache_holds():
    starts = [started(0, {K.GPU_MEMORY_UTILIZATION: 0.9}, 6.0, 14.3, 0.5, tokens=int(6 * GIB / 57344))]
    memory, encoding = learnt(starts, 24)

    def place(seqs, utilization):
        config = {K.MAX_NUM_SEQS: seqs, K.GPU_MEMORY_UTILIZATION: utilization}
        return float(memory.concurrency_place(encoding.configurations([config]))[0])

    assert place(8, 0.9) - place(4, 0.9) == pytest.approx(1 / 3, abs=0.01)
    assert place(8, 0.95) - place(8, 0.85) == pytest.approx(0, abs=0.01)
    assert place(512, 0.95) - place(512, 0.8) > 0.1
    assert place(512, 0.9) - place(256, 0.9) < 0.1


def test_more_than_the_load_keeps_running_never_runs_at_once():
    encoding = Encoding(SPACE, Context(vram_bytes=24 * GIB, concurrency=20.0))
    starts = [started(0, {K.GPU_MEMORY_UTILIZATION: 0.9}, 6.0, 14.3, 0.5, tokens=int(6 * GIB / 57344))]
    memory = learn(encoding, starts, encoding.configurations([starts[0].parameters]))
    points = encoding.configurations([{K.MAX_NUM_SEQS: seqs, K.GPU_MEMORY_UTILIZATION: 0.9} for seqs in (4, 64, 512)])
    few, enough, many = (2 ** (3 * memory.concurrency_place(points))).tolist()
    assert few == pytest.approx(4, rel=0.01)
    assert enough == pytest.approx(many, rel=0.05)
    assert many < 20


def test_max_num_seqs_costs_hardly_anything_where_it_just_allows_what_the_load_keeps_running():
    encoding = Encoding(SPACE, Context(vram_bytes=24 * GIB, concurrency=20.0))
    starts = [started(0, {K.GPU_MEMORY_UTILIZATION: 0.9}, 6.0, 14.3, 0.5, tokens=int(6 * GIB / 57344))]
    memory = learn(encoding, starts, encoding.configurations([starts[0].parameters]))
    points = encoding.configurations([{K.MAX_NUM_SEQS: seqs, K.GPU_MEMORY_UTILIZATION: 0.9} for seqs in (20, 512)])
    just, many = (2 ** (3 * memory.concurrency_place(points))).tolist()
    assert 0.95 * many < just < many
