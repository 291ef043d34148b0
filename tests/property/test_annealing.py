"""Invariants of what TBA rebuilds from any history: its chain and its blacklist."""

from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import KnobName, Outcome, SearchSpace
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.blacklist import BAN_TRIALS, blacklist
from sloguard.optimizer.scores import Score, crash_violation
from sloguard.optimizer.tba_chain import COLDEST, HOTTEST, STALL, energies_of, replayed

K = KnobName
CRASH = crash_violation(2)
SPACE = make_space(SearchSpace.model_validate({"allowQualityChange": True}), {}, Context())


@given(st.lists(st.tuples(st.sampled_from([4, 20, 100, 500]), st.sampled_from(["none", "fp8"]), st.booleans())))
def test_only_what_crashed_lately_is_banned(tried):
    taught = [
        Result(
            number,
            {K.MAX_NUM_SEQS: seqs, K.QUANTIZATION: quantization},
            Outcome.FEASIBLE if lived else Outcome.CRASHED,
            1.0 if lived else None,
        )
        for number, (seqs, quantization, lived) in enumerate(tried)
    ]
    bans = blacklist(SPACE, taught)
    if taught and taught[-1].outcome is not Outcome.CRASHED:
        assert bans.ban_on(taught[-1].parameters) is None
    for ban in bans.bans.values():
        assert 3 <= ban.crashes <= sum(r.outcome is Outcome.CRASHED for r in taught)
        assert 1 <= ban.trials_left <= BAN_TRIALS


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.sampled_from([0.0, 0.01, 1.0, CRASH])).map(lambda s: Score({}, *s)),
        max_size=60,
    ),
    st.integers(0, 2**31),
)
def test_its_temperature_and_energies_stay_within_their_bounds(known, seed):
    chain = replayed(known, CRASH, 5, seed)
    assert COLDEST <= chain.temperature <= HOTTEST
    assert chain.stalled < STALL
    assert (chain.current is None) == (not known)
    assert all(0 <= energy <= 2 for energy in energies_of(known, CRASH))
    assert chain == replayed(known, CRASH, 5, seed)
