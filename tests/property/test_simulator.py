"""Whatever arrives and leaves, the scheduler finishes it, within its limits, and loses no block."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sloguard.simulator.scheduler import Request, Scheduler, SchedulerLimits

BLOCKS, BLOCK_SIZE = 24, 4
LONGEST = BLOCKS * BLOCK_SIZE

requests = st.lists(
    st.tuples(
        st.integers(0, 3),  # which prefix: requests share some
        st.integers(1, LONGEST // 2),
        st.integers(1, LONGEST // 2),
        st.integers(0, 30),  # the step before which it arrives
        st.one_of(st.none(), st.integers(0, 40)),  # the step before which its client leaves
    ),
    max_size=12,
)
limits = st.builds(
    SchedulerLimits,
    max_num_seqs=st.integers(1, 6),
    max_num_batched_tokens=st.integers(LONGEST // 2, LONGEST),
    block_size=st.just(BLOCK_SIZE),
    chunked_prefill=st.just(True),
    prefix_caching=st.booleans(),
    long_prefill_token_threshold=st.integers(0, 8),
    priority_policy=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(limits, requests)
def test_every_request_ends_within_the_limits_and_all_blocks_come_back(limit, arrivals):
    scheduler = Scheduler(limit, BLOCKS)
    pending = [
        (at, Request(str(number), [prefix] * length, output, float(at)), leaves)
        for number, (prefix, length, output, at, leaves) in enumerate(arrivals)
    ]
    for now in range(5000):
        for at, request, leaves in pending:
            if at == now:
                scheduler.add(request)
            if leaves is not None and leaves == now and at <= now:
                scheduler.abort(request)
        step = scheduler.plan(float(now))
        if step is None:
            assert not scheduler.has_work
            if now > 40:
                break
            continue
        assert 0 < step.tokens <= limit.max_num_batched_tokens
        assert len(scheduler.running) <= limit.max_num_seqs
        scheduler.complete(step, float(now))
    assert all(request.finished for _, request, _ in pending)
    assert all(request.produced <= request.output_tokens for _, request, _ in pending)
    assert scheduler.pool.free == BLOCKS
    assert scheduler.pool.usage == 0
