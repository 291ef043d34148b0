"""A bounded part of an endless log gives the verdict of the whole."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sloguard.cluster.log_ring import HEAD_BYTES, LINE_CHARACTERS, TAIL_BYTES, TELLING_BYTES, LogRing
from sloguard.domain.crash import classify
from sloguard.domain.evidence import Evidence

MOST = HEAD_BYTES + 2 * TELLING_BYTES + TAIL_BYTES
NOISE = "INFO 11-22 10:00:00 [loggers.py:257] Engine 000: Avg prompt throughput: 9.9 tokens/s, Running: 4 reqs"
READY = "INFO:     Application startup complete."
CAUSE = "(EngineCore pid=7) ERROR 11-22 10:00:01 [core.py:9] torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB."
SECOND = "(APIServer pid=1) vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."


def ring_of(lines):
    ring = LogRing()
    for at, line in enumerate(lines):
        ring.add(line, at)
    return ring


def judged(log, gaps=()):
    return classify(Evidence(log=log, log_gaps=gaps, became_ready=True, ended=True, exit_code=0))


def test_a_short_log_is_whole():
    lines = [READY, "", "  indented", CAUSE]
    kept = ring_of(lines).kept()
    assert kept.text.split("\n") == [*lines, ""]
    assert kept.gaps == ()


def test_of_a_long_log_the_verdict_and_its_line_are_those_of_the_whole():
    before, after = 20_000, 30_000
    lines = [READY, *[NOISE] * before, CAUSE, *[SECOND] * 10, *[NOISE] * after]
    kept = ring_of(lines).kept()
    assert len(kept.text) < MOST
    verdict = judged(kept.text, kept.gaps)
    assert verdict == judged("\n".join(lines))
    assert verdict.line == before + 2
    assert sum(gap.missing for gap in kept.gaps) + kept.text.count("\n") == len(lines)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([NOISE, CAUSE, SECOND, "x" * 50_000, ""]), max_size=30), st.integers(0, 400))
def test_it_is_bounded_whatever_is_written(lines, times):
    ring = ring_of(lines * times)
    assert ring.cost <= MOST
    kept = ring.kept()
    missing = sum(gap.missing for gap in kept.gaps)
    assert kept.text.count("\n") + missing == len(lines) * times, "every line is there or said to be missing"
    assert max(map(len, kept.text.split("\n"))) <= LINE_CHARACTERS


def test_the_first_and_the_last_of_too_many_telling_lines_stay():
    lines = [READY, *[NOISE] * 3000, *[f"RuntimeError: number {n}" for n in range(20_000)], *[NOISE] * 3000]
    text = ring_of(lines).kept().text
    assert "RuntimeError: number 0\n" in text
    assert "RuntimeError: number 19999\n" in text
    assert "RuntimeError: number 10000\n" not in text


def test_what_was_written_later_can_be_left_out():
    ring = ring_of(["one", "two", "three"])
    assert ring.kept(until_ns=1).text == "one\ntwo\n"


def test_what_a_terminal_would_obey_is_taken_out():
    assert ring_of(["\x1b[31mValueError\x07: x\u202e"]).kept().text == "ValueError: x\n"
