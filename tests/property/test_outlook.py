"""A rate is called hopeless only where nothing that may still come could save it."""

from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.goodput import Ending, RequestRecord, hold_slos, is_overwhelmed
from sloguard.domain.outlook import OpenRequest, Outlook

SLOS = st.lists(
    st.builds(
        SLO,
        metric=st.sampled_from([Metric.TTFT, Metric.TPOT, Metric.E2E]),
        percentile=st.integers(1, 99),
        milliseconds=st.integers(1, 20),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda slo: (slo.metric, slo.percentile),
)


@st.composite
def records(draw):
    """Completed with latencies around the limits, or failed."""
    ttft = draw(st.integers(0, 30_000))
    completed = draw(st.booleans())
    return RequestRecord(
        due_microseconds=0,
        prompt_tokens=1,
        wanted_tokens=draw(st.integers(1, 4)),
        ending=Ending.COMPLETED if completed else draw(st.sampled_from([Ending.REFUSED, Ending.CUT_OFF])),
        ttft_microseconds=ttft,
        e2e_microseconds=ttft + draw(st.integers(0, 30_000)),
    )


def _seen(record, data):
    """As it looks at some moment before its end."""
    end = record.e2e_microseconds if record.completed else 100_000
    age = data.draw(st.integers(0, end))
    return OpenRequest(age, begun=record.completed and age >= record.ttft_microseconds)


@given(st.lists(records(), max_size=40), st.lists(records(), max_size=40), st.integers(0, 40), SLOS, st.data())
def test_hopeless_means_overwhelmed_even_if_all_that_remains_were_good(settled, still_open, remaining, slos, data):
    outlook = Outlook(len(settled) + len(still_open) + remaining, slos)
    for record in settled:
        outlook.settle(record)
    if not outlook.is_hopeless([_seen(record, data) for record in still_open]):
        return
    settled = [*settled, *still_open]
    perfect = RequestRecord(due_microseconds=0, prompt_tokens=1, wanted_tokens=1, ending=Ending.COMPLETED)
    whole = [*settled, *([perfect] * remaining)]
    assert is_overwhelmed(whole, slos)
    assert not all(held.met for held in hold_slos(whole, slos))


@given(st.lists(records(), min_size=1, max_size=40), SLOS)
def test_it_stays_hopeless(settled, slos):
    outlook, hopeless = Outlook(len(settled), slos), False
    for record in settled:
        outlook.settle(record)
        assert outlook.is_hopeless([]) or not hopeless
        hopeless = outlook.is_hopeless([])


@given(st.integers(1, 200), st.integers(50, 99))
def test_a_dead_server_is_given_up_after_half_of_the_requests(planned, percentile):
    outlook = Outlook(planned, [SLO(metric=Metric.TTFT, percentile=percentile, milliseconds=1)])
    refused = RequestRecord(due_microseconds=0, prompt_tokens=1, wanted_tokens=1, ending=Ending.REFUSED)
    needed = 0
    while not outlook.is_hopeless([]):
        outlook.settle(refused)
        needed += 1
    assert needed == planned // 2 + 1
