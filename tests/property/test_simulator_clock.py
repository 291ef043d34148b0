"""However a server's clock is driven, every client gets each token once, in order of time, and the same ones."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.scheduler import Request
from sloguard.simulator.serving import Serving
from sloguard.simulator.startup import Ready, script

arrivals = st.lists(
    st.tuples(
        st.floats(0, 0.5),  # after the one before, seconds
        st.integers(1, 900),  # prompt
        st.integers(1, 40),  # output
        st.sampled_from([1, 1, 4]),  # stream interval
        st.one_of(st.none(), st.floats(0, 1.0)),  # leaves so long after it came
    ),
    min_size=1,
    max_size=10,
)
knobs = st.sampled_from(
    [(), ("--max-num-seqs", "2"), ("--enforce-eager",), ("--no-async-scheduling",), ("--max-num-batched-tokens", "256")]
)


def ready(arguments):
    *_, last = script(parse_arguments(["m", "--profile", "7b-h200-24gb", *arguments]))
    assert isinstance(last, Ready)
    return last


class Seen:
    """All that a server tells."""

    def __init__(self):
        self.chunks, self.times, self.steps = {}, [], 0

    def admitted(self, request):
        pass

    def stepped(self, step, produced, now_seconds):
        assert len(produced) <= step.shape.sequences
        self.steps += 1
        self.times.append(now_seconds)

    def processed(self, requests, now_seconds):
        assert requests
        self.times.append(now_seconds)

    def chunk(self, chunk):
        self.chunks.setdefault(chunk.request.request_id, []).append((chunk.seconds, chunk.tokens, chunk.last))
        self.times.append(chunk.seconds)

    def died(self, error):
        raise AssertionError(error)


def play(start, plan, grain):
    """`grain` is how often the clock is looked at, None for exactly when something is due."""
    seen = Seen()
    serving = Serving(start, seen)
    events = []
    at = 0.0
    requests = {}
    for number, (gap, prompt, output, interval, leaves) in enumerate(plan):
        at += gap
        requests[number] = Request(str(number), range(number << 16, (number << 16) + prompt), output, 0.0)
        events.append((at, 0, number, interval))
        if leaves is not None:
            events.append((at + leaves, 1, number, interval))
    for when, kind, number, interval in sorted(events):
        serving.advance(when)
        if kind:
            serving.abort(requests[number])
        else:
            serving.submit(requests[number], interval, when)
    for _ in range(200_000):
        due = serving.due_seconds
        if due is None:
            break
        serving.advance(due if grain is None else (due // grain + 1) * grain)
    assert serving.due_seconds is None
    assert not serving.scheduler.has_work
    assert serving.scheduler.pool.usage == 0
    return seen


@settings(max_examples=60, deadline=None)
@given(knobs, arrivals)
def test_every_token_comes_once_and_in_order(arguments, plan):
    seen = play(ready(arguments), plan, None)
    assert seen.times == sorted(seen.times)
    for number, (_, _, output, interval, leaves) in enumerate(plan):
        chunks = seen.chunks.get(str(number), [])
        if leaves is None:
            assert sum(tokens for _, tokens, _ in chunks) == output
            assert [last for *_, last in chunks] == [False] * (len(chunks) - 1) + [True]
            assert all(tokens >= min(interval, output) for _, tokens, _ in chunks[1:-1])
        else:
            assert sum(tokens for _, tokens, _ in chunks) <= output


@settings(max_examples=30, deadline=None)
@given(knobs, arrivals, st.sampled_from([0.001, 0.05]))
def test_how_often_the_clock_is_looked_at_changes_nothing(arguments, plan, grain):
    exact, coarse = (play(ready(arguments), plan, how) for how in (None, grain))
    assert coarse.chunks == exact.chunks
    assert coarse.steps == exact.steps
