"""What trials of earlier studies say of this one, by card, model and version."""

import numpy as np
import pytest

from sloguard.api.v1alpha1 import Crash, CrashClass, CrashPhase, Fault, KnobName, Margins, Outcome, SearchSpace
from sloguard.domain.ledger import Ledger, LedgerRecord, Setup
from sloguard.domain.result import Result
from sloguard.domain.rules import GIB, Context
from sloguard.optimizer import make_space
from sloguard.optimizer.margin_bo.avoided import avoided
from sloguard.optimizer.margin_bo.earlier import MOST_EARLIER, earlier_of
from sloguard.optimizer.margin_bo.encoding import Encoding
from sloguard.optimizer.margin_bo.memory import learn
from tests.bench.lands import tight
from tests.bench.transfer import EARLIER_TRIALS, card_of, left_by, margin_bo, related, setup, studied

K = KnobName
SPACE = make_space(SearchSpace.model_validate(tight.SEARCH_SPACE), {}, Context())
ENCODING = Encoding(SPACE, Context(vram_bytes=24 * GIB))
HERE = Setup(gpu_name="NVIDIA L4", gpu_memory_bytes=24 * GIB, model="llama", vllm_version="0.33.0")


def record(number, setup=HERE, crash=None, **values):
    margins = None if crash else Margins(available_kv_cache_bytes=4 * GIB, model_weights_bytes=15 * GIB)
    outcome = Outcome.CRASHED if crash else Outcome.FEASIBLE
    result = Result(
        number, {K[name.upper()]: value for name, value in values.items()}, outcome, crash=crash, margins=margins
    )
    return LedgerRecord.of(result, Context(), study="before", run="1", setup=setup)


def died(class_, phase=None):
    return Crash(class_=class_, fault=Fault.CONFIGURATION, phase=phase)


@pytest.mark.parametrize(
    ("change", "model", "card", "version"),
    [
        ({}, True, True, True),
        ({"gpu_memory_bytes": round(23.7 * GIB)}, True, True, True),
        ({"gpu_name": "NVIDIA A10"}, True, False, True),
        ({"gpu_memory_bytes": 80 * GIB}, True, False, True),
        ({"model": "llama revision=b"}, False, True, True),
        ({"vllm_version": "0.24.0", "gpu_name": ""}, True, True, False),
    ],
)
def test_kin_is_told_by_model_card_and_version(change, model, card, version):
    earlier = earlier_of(Ledger(HERE, (record(1, HERE.model_copy(update=change)),)), ENCODING)
    assert (*earlier.same_model, *earlier.same_card, *earlier.same_version) == (model, card, version)


def test_strangers_are_left_out_and_the_nearest_kin_and_the_latest_kept():
    stranger = Setup(gpu_name="NVIDIA H100", gpu_memory_bytes=80 * GIB, model="qwen")
    other_card = HERE.model_copy(update={"gpu_name": "NVIDIA H100", "gpu_memory_bytes": 80 * GIB})
    records = [record(i, stranger) for i in range(5)]
    records += [record(i) for i in range(100, 100 + MOST_EARLIER - 10)] + [
        record(i, other_card) for i in range(300, 330)
    ]
    earlier = earlier_of(Ledger(HERE, tuple(records)), ENCODING)
    assert len(earlier) == MOST_EARLIER
    assert [r.number for r in earlier.records] == [*range(100, 100 + MOST_EARLIER - 10), *range(320, 330)]


def test_an_unknown_card_is_told_by_its_starts():
    unknown = HERE.model_copy(update={"gpu_memory_bytes": None, "gpu_name": ""})
    starts = [record(i, unknown, gpu_memory_utilization=0.84) for i in range(3)]
    earlier = earlier_of(Ledger(HERE, tuple(starts)), ENCODING)
    assert earlier.cards_gib.tolist() == [24.0, 24.0, 24.0]
    assert earlier.same_card.all()


def error_gib(kind, card=None):
    """Median error of the KV cache foretold for 200 configurations of `tight`, before any start of its own."""
    where = tight.LAND
    ledger = left_by("tight", kind, 3) if card is None else from_card(card)
    encoding = Encoding(where.space, Context(vram_bytes=24 * GIB))
    memory = learn(encoding, [], encoding.configurations([]), earlier_of(ledger, encoding))
    values = where._spread(200)
    foretold = memory.kv_gib(encoding.configurations(values))[0]
    truths = [where.truth_of(each).kv_gib for each in values]
    return float(np.median(np.abs(errors(foretold, truths))))


def errors(foretold, truths):
    return np.array([kv - truth for kv, truth in zip(foretold, truths, strict=True) if truth is not None])


def from_card(card):
    there, where = setup("tight", card), related("tight", card)
    history = studied(where, margin_bo(where, 3, Ledger(there)), 3, EARLIER_TRIALS)
    records = (LedgerRecord.of(r, Context(), study="earlier", run="3", setup=there) for r in history)
    return Ledger(setup("tight", card_of("tight")), tuple(records))


def test_starts_on_another_card_foretell_the_kv_cache_on_this_one():
    """By its memory and the weights: physics alone is off by more than a GiB, since it knows no weights."""
    assert error_gib("none") > 1.0
    assert error_gib("same") < 0.4
    assert error_gib("related", 40) < 0.6


def test_own_starts_overrule_what_earlier_ones_said():
    """The earlier study's card had a GiB less than it should: somebody else held them."""
    where = tight.LAND
    encoding = Encoding(where.space, Context(vram_bytes=24 * GIB))
    ledger = left_by("tight", "same", 3)
    short = [
        r.model_copy(
            update={
                "margins": r.margins.model_copy(
                    update={"available_kv_cache_bytes": r.margins.available_kv_cache_bytes - GIB}
                )
            }
        )
        for r in ledger.records
        if r.margins is not None
    ]
    earlier = earlier_of(Ledger(ledger.setup, tuple(short)), encoding)
    own = [where.measure(i, values, 1) for i, values in enumerate(where._spread(12))]
    own = [result for result in own if result.margins is not None][:4]
    probe = where._spread(40)[20:]
    truths = [where.truth_of(values).kv_gib for values in probe]
    before = learn(encoding, [], encoding.configurations([]), earlier).kv_gib(encoding.configurations(probe))[0]
    points = encoding.configurations([result.parameters for result in own])
    after = learn(encoding, own, points, earlier).kv_gib(encoding.configurations(probe))[0]
    assert np.median(errors(before, truths)) < -0.6
    assert abs(np.median(errors(after, truths))) < 0.35


def test_the_note_names_what_died_where_and_how_often():
    oom = died(CrashClass.CUDA_OUT_OF_MEMORY, CrashPhase.SERVING)
    shares = (0.94, 0.95, 0.97)
    crashed = [record(i, crash=oom, gpu_memory_utilization=u, max_num_seqs=64) for i, u in enumerate(shares)]
    fine = {K.MAX_NUM_SEQS: 64, K.GPU_MEMORY_UTILIZATION: 0.8}
    risky = {K.MAX_NUM_SEQS: 64, K.GPU_MEMORY_UTILIZATION: 0.96}
    earlier = earlier_of(Ledger(HERE, tuple(crashed)), ENCODING)
    note = avoided(SPACE, fine, risky, ENCODING.configurations([risky]), earlier)
    assert note == (
        "avoided gpu_memory_utilization 0.94 and more: 3 trials of study before on the same GPU died there "
        "(CUDAOutOfMemory)"
    )
    elsewhere = HERE.model_copy(update={"gpu_memory_bytes": 80 * GIB, "gpu_name": "NVIDIA H100"})
    other = earlier_of(Ledger(HERE, (crashed[0].model_copy(update={"setup": elsewhere}),)), ENCODING)
    assert "1 trial of study before on another GPU" in avoided(
        SPACE, fine, risky, ENCODING.configurations([risky]), other
    )
