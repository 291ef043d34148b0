"""Writers of a shared ledger may merge in any order; and what is believed breaks no search."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import Crash, CrashClass, Fault, KnobName, Margins, Proof, SettingBound
from sloguard.domain import shared_ledger
from sloguard.domain.ledger import Ledger, LedgerRecord, Setup
from sloguard.domain.shared_ledger import believed, merged
from sloguard.engine.plan import plan
from tests.unit.engine.builders import T0, baselines, make_study, recorded, snapshot

SETUPS = [Setup(model="m"), Setup(model="m", gpu_name="g")]
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@st.composite
def ledgers(draw):
    """Of few trials, each of which is the same wherever it is noted but for the time."""
    numbers = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=12))
    return [
        LedgerRecord(
            study="s",
            run="r",
            number=number,
            finished_at=NOW + timedelta(minutes=minute),
            setup=SETUPS[number % 2],
            parameters={KnobName.MAX_NUM_SEQS: str(number // 3 + 1)},
            crashed=False,
        )
        for number, minute in numbers
    ]


@given(ledgers(), ledgers(), ledgers())
@settings(max_examples=200)
def test_the_order_of_merging_does_not_matter(a, b, c):
    shared_ledger.MOST_OF_A_KIND, before = 5, shared_ledger.MOST_OF_A_KIND
    try:
        whole = merged([*a, *b, *c])
        assert merged([*merged([*a, *b]), *c]) == merged([*a, *merged([*c, *b])]) == whole
        assert merged(whole) == whole
        assert len(whole) <= 5
        assert len({record.number for record in whole}) == len(whole)
    finally:
        shared_ledger.MOST_OF_A_KIND = before


FIGURES = st.one_of(st.none(), st.integers(-(2**50), 2**50))
BOUNDS = st.builds(
    SettingBound,
    setting=st.sampled_from(["max_model_len", "gpu_memory_utilization", "max_num_seqs", "nothing_known"]),
    at_least=st.one_of(st.none(), st.integers(0, 10**9)),
    at_most=st.one_of(st.none(), st.integers(0, 10**9)),
    at_most_permille=st.one_of(st.none(), st.integers(0, 1000)),
)
SIZES = st.one_of(st.none(), st.integers(0, 2**50))
PROOFS = st.builds(
    Proof,
    bounds=st.lists(BOUNDS, max_size=3),
    available_kv_cache_bytes=FIGURES,
    needed_kv_cache_bytes=SIZES,
    device_memory_bytes=SIZES,
)
CAUSES = st.sampled_from(["", "max_num_seqs must be less", "--max-num-batched-tokens and --max-num-seqs", "( [ \\ * +"])
ANYTHING = st.builds(
    LedgerRecord,
    study=st.just("p"),
    run=st.just("r"),
    number=st.integers(0, 100),
    finished_at=st.just(NOW),
    setup=st.builds(
        Setup, model=st.just("model"), gpu_memory_bytes=st.one_of(st.none(), st.integers(1, 2**44)), layers=st.just(1)
    ),
    parameters=st.fixed_dictionaries(
        {
            KnobName.MAX_NUM_SEQS: st.integers(1, 2**31 - 1).map(str),
            KnobName.MAX_NUM_BATCHED_TOKENS: st.integers(1, 2**31 - 1).map(str),
        }
    ),
    crashed=st.just(False),
    crash=st.none(),
    margins=st.one_of(
        st.none(),
        st.builds(
            Margins,
            available_kv_cache_bytes=FIGURES,
            kv_cache_tokens=FIGURES,
            model_weights_bytes=FIGURES,
            cuda_graph_bytes=FIGURES,
            least_free_device_memory_bytes=FIGURES,
            device_memory_bytes=FIGURES,
        ),
    ),
).flatmap(
    lambda record: st.one_of(
        st.just(record),
        st.builds(
            Crash,
            class_=st.sampled_from(CrashClass),
            fault=st.just(Fault.CONFIGURATION),
            cause=CAUSES,
            proof=st.one_of(st.none(), PROOFS),
        ).map(lambda crash: record.model_copy(update={"crashed": True, "crash": crash})),
    )
)


@given(st.lists(ANYTHING, min_size=1, max_size=12), st.sampled_from(["margin-bo", "tba-tpe"]))
@settings(max_examples=25, deadline=None)
def test_whatever_is_believed_a_search_goes_on(records, optimizer):
    kept = tuple(record for record in merged(records) if believed(record, NOW))
    study = make_study(optimizer={"name": optimizer, "seed": 1})
    known = snapshot(study, *baselines())
    ledger = Ledger(Setup(model="model"), kept)
    spec = recorded(plan(type(known)(study, known.trials, known.target, known.observations, ledger), T0)).spec
    assert 1 <= int(spec.parameters[KnobName.MAX_NUM_SEQS]) <= 256
