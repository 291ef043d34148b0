"""Whatever text comes, the verdict is sound."""

import json
from datetime import UTC, datetime
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import CrashClass, ServerFault, ServerFaultKind
from sloguard.domain.crash import classify
from sloguard.domain.crash_scan import PATTERNS, telling
from sloguard.domain.evidence import EventEvidence, Evidence, LogGap
from sloguard.domain.log_lines import lines, pieces
from sloguard.domain.margins import margins_from_log
from sloguard.domain.text import readable
from tests.unit.domain.crash_logs import READY, START, failed_start, verdict_on
from tests.unit.domain.crash_samples import STARTS

MESSAGES = [message for *_, message in STARTS]
PIECES = st.one_of(
    st.text(max_size=80),
    st.sampled_from([line for message in MESSAGES for line in message.split("\n")]),
    st.sampled_from(
        [
            "INFO:     Application startup complete.",
            "Traceback (most recent call last):",
            '  File "site-packages/vllm/config/x.py", line 1, in f',
            "\x1b[31m",
            "(EngineCore pid=1) ERROR 11-22 08:48:34 [core.py:1] ",
        ]
    ),
)
LOGS = st.lists(st.tuples(PIECES, PIECES), max_size=30).map(lambda pairs: "\n".join(a + b for a, b in pairs))
FILLER = [
    "(EngineCore pid=2) INFO 11-22 08:48:34 [backends.py:1] Using cache directory: /root/.cache/vllm",
    "(EngineCore pid=2) WARNING 11-22 08:48:35 [x.py:1] something that passes",
    "",
    "    and more of it",
]
WORDS = st.text(max_size=30)
ROUTINE = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x1b"), max_size=60)
    .filter(lambda text: not text.startswith(("Application startup complete", "Shutting down", "[shutdown]")))
    .map(lambda text: f"(APIServer pid=1) INFO 11-22 08:48:34 [loggers.py:273] Engine 000: {text}\n"),
    max_size=10,
).map("".join)


@given(LOGS, st.none() | st.integers(-64, 255))
def test_any_log_has_a_verdict_whose_cause_stands_on_its_line(log, exit_code):
    margins_from_log(log)
    crash = verdict_on(log, exit_code)
    if exit_code is not None:
        assert crash is not None
    if crash is not None and crash.line is not None:
        assert readable({line.number: line.text for line in lines(pieces(log))}[crash.line]) == crash.cause
        assert crash.cause in readable(log.split("\n")[crash.line - 1], 8192)
    if crash is not None:
        assert readable(crash.cause) == crash.cause


@given(
    st.builds(
        Evidence,
        log=LOGS,
        became_ready=st.booleans(),
        ended=st.booleans(),
        exit_code=st.none() | st.integers(-64, 255),
        stop_requested=st.booleans(),
        restart_count=st.integers(0, 3),
        container_reason=WORDS | st.sampled_from(["OOMKilled", "Error", "Completed"]),
        container_message=st.text(max_size=3000),
        waiting_reason=WORDS | st.sampled_from(["CrashLoopBackOff", "ErrImagePull"]),
        pod_reason=WORDS,
        unschedulable=WORDS,
        events=st.lists(st.builds(EventEvidence, WORDS, WORDS), max_size=3).map(tuple),
        startup_seconds=st.none() | st.floats(0, 1e6),
        startup_timeout_seconds=st.none() | st.floats(0, 1e6),
        load_invalid=st.none() | WORDS,
        load_fault=st.none()
        | st.builds(
            ServerFault,
            kind=st.sampled_from(ServerFaultKind),
            at=st.just(datetime(2025, 11, 22, tzinfo=UTC)),
            detail=WORDS,
        ),
    )
)
def test_any_evidence_is_judged_and_always_alike(evidence):
    assert classify(evidence) == classify(evidence)


@given(st.sampled_from(MESSAGES), ROUTINE, ROUTINE)
def test_routine_lines_around_a_failed_start_change_nothing_but_the_line_number(message, before, after):
    log = failed_start(message)
    alone = verdict_on(log, 1)
    among = verdict_on(before + log + after, 1)
    assert alone is not None
    assert among is not None
    assert alone.line is not None
    assert among == alone.model_copy(update={"line": alone.line + before.count("\n")})


@given(st.sampled_from(MESSAGES), st.lists(st.sampled_from(FILLER), min_size=5, max_size=40), st.integers(0, 10))
def test_a_bounded_copy_is_judged_like_the_whole_and_keeps_the_files_line_numbers(message, filler, head):
    whole = [*filler, *failed_start(message).split("\n"), *filler]
    kept, gaps = bounded(whole, head)
    assert len(kept) < len(whole)
    part = classify(Evidence(log="\n".join(kept), log_gaps=gaps, ended=True, exit_code=1))
    assert part == classify(Evidence(log="\n".join(whole), ended=True, exit_code=1))


def bounded(whole: list[str], head: int) -> tuple[list[str], tuple[LogGap, ...]]:
    """The first lines and whatever tells, as a stream with little room would keep them."""
    kept: list[str] = []
    gaps: list[LogGap] = []
    missing = 0
    for number, line in enumerate(whole):
        if number < head or telling(line):
            if missing:
                gaps.append(LogGap(len(kept), missing))
            kept.append(line)
            missing = 0
        else:
            missing += 1
    return kept, tuple(gaps)


@given(st.text(max_size=400).filter(lambda text: not any(needle in text for row in PATTERNS for needle in row.needles)))
def test_words_that_nobody_knows_are_unknown(text):
    crash = verdict_on(text, 1)
    assert crash is not None
    assert crash.class_ is CrashClass.UNKNOWN


@given(st.sampled_from(MESSAGES), ROUTINE, st.sampled_from(["log", "message", "msg", "textPayload"]), st.booleans())
def test_a_shippers_json_changes_nothing(message, before, field, ascii_only):
    log = before + failed_start(message)
    shipped = [json.dumps({"time": 1, field: line}, ensure_ascii=ascii_only) for line in log.split("\n")[:-1]]
    assert verdict_on("\n".join(shipped), 1) == verdict_on(log, 1)
    kept, gaps = bounded(shipped, 2)
    part = classify(Evidence(log="\n".join(kept), log_gaps=gaps, ended=True, exit_code=1))
    assert part == verdict_on(log, 1)


REQUEST = st.text(max_size=60) | st.sampled_from(MESSAGES)


@given(st.lists(REQUEST, min_size=1, max_size=5))
def test_what_clients_send_is_never_the_cause_of_death(sent):
    """As request logs quote it, as access logs show it, and as the front end's own errors repeat it."""
    api = "(APIServer pid=4062) "
    quoted = [
        f"{api}INFO 11-22 08:50:33 [logger.py:43] Received request x: prompt: {text!r}, params: x" for text in sent
    ]
    quoted += [f'{api}INFO:     127.0.0.1:1 - "GET /{quote(text)} HTTP/1.1" 404 Not Found' for text in sent]
    quoted += [f"{api}ERROR 11-22 08:50:33 [serving.py:1] Error in request: {text!a}" for text in sent]
    crash = verdict_on("\n".join([*START, *READY, *quoted]), 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD
    assert verdict_on("\n".join([*START, *READY, *quoted, *READY[3:]]), None) is None
