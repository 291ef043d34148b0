"""Evidence -> the verdict on a server that did not serve."""

import signal
from collections.abc import Iterable
from typing import Final

from sloguard.api.v1alpha1 import Crash, CrashClass, CrashPhase, Fault, ServerFaultKind

from . import crash_pod
from .activity import recorded
from .crash_pattern import usual_fault
from .crash_pod import PodVerdict
from .crash_scan import Finding, Quote, Scan, scan, scan_lines
from .evidence import SIGKILL, SIGTERM, Evidence
from .proof import NOTHING, Proven
from .text import readable

_CAUSE_LENGTH: Final = 1024
_IDLE_CONFIDENCE: Final = 50
"""That a server which died without any request died of its configuration."""
_LIMIT_LENGTH: Final = 256
_SIGNALS: Final = frozenset(int(one) for one in signal.Signals)
_CANNOT_RUN: Final = frozenset({126, 127})
"""A shell's exit codes for a command that it cannot run, or find."""


def classify(evidence: Evidence) -> Crash | None:
    """What went wrong, whose fault it is and how sure that is; None where nothing wrong was seen.

    From what is certain to what is inferred: the cluster took the pod away, or never ran it; the kernel killed it;
    its log names a cause; the load generator failed; it took too long, stood still, or is gone without a word.
    """
    if verdict := crash_pod.ended_from_outside(evidence) or crash_pod.never_started(evidence):
        return _of_pod(verdict)
    failed = _failed(evidence)
    if failed and evidence.container_reason == "OOMKilled":
        said = "OOMKilled: the kernel ended the container at its memory limit"
        crash = _crash(CrashClass.HOST_OUT_OF_MEMORY, said, confidence=99, phase=_serving(evidence))
        return _with_activity(crash, evidence, scan(evidence.log))
    if failed:
        found = scan(evidence.log)
        return _numbered(_with_activity(_judge(evidence, found), evidence, found), evidence)
    if evidence.load_invalid is not None:
        return _crash(CrashClass.LOAD_GENERATOR, evidence.load_invalid, confidence=95)
    return None


def _numbered(crash: Crash, evidence: Evidence) -> Crash:
    """With the number that the line has in its file, of which the log may hold only parts."""
    if crash.line is None or not evidence.log_gaps:
        return crash
    return crash.model_copy(update={"line": evidence.line_of_file(crash.line)})


def classify_lines(log: Iterable[str], exit_code: int | None = None) -> Crash | None:
    """The verdict on a log alone, which then has to tell by itself whether the server was ready and has ended.

    It comes line by line, without their line feeds. Memory does not grow with it.
    """
    found = scan_lines(log)
    ended = exit_code is not None or found.sounds_dead
    evidence = Evidence(became_ready=found.ready, ended=ended, exit_code=exit_code)
    return _with_activity(_judge(evidence, found), evidence, found) if ended else None


def _failed(evidence: Evidence) -> bool:
    """Something is wrong with the server, whatever it may be. What we ended ourselves did not fail by ending."""
    by_itself = evidence.dead and not evidence.stop_requested
    return by_itself or evidence.load_fault is not None or evidence.startup_timed_out


def _judge(evidence: Evidence, found: Scan) -> Crash:
    """The log's cause first; then what the way it ended, or did not end, tells."""
    if cause := found.cause:
        return _of_log(cause)
    by_itself = evidence.dead and not evidence.stop_requested
    vanished = evidence.load_fault is not None and evidence.load_fault.kind is ServerFaultKind.SERVER_GONE
    if (by_itself or vanished) and (verdict := crash_pod.killed(evidence)):
        return _of_pod(verdict)
    if by_itself and evidence.ending_signal == SIGKILL and not found.asked_to_stop:
        said = "killed by signal 9 without a word in the log, as the kernel does when memory runs out"
        return _crash(CrashClass.HOST_OUT_OF_MEMORY, said, confidence=65, phase=_serving(evidence))
    if evidence.startup_timed_out and not by_itself:
        return _startup_timeout(evidence)
    if evidence.load_fault is not None and evidence.stalled and not by_itself:
        return _crash(CrashClass.HANG, evidence.load_fault.detail, confidence=85, phase=CrashPhase.SERVING)
    if found.ready or evidence.became_ready or evidence.load_fault is not None:
        return _died_under_load(evidence, found)
    return _unknown(evidence, found)


def _with_activity(crash: Crash, evidence: Evidence, found: Scan) -> Crash:
    """What a server that had become ready was doing before its end. With nothing to do, no load has killed it."""
    activity = found.activity or evidence.activity
    if not (found.ready or evidence.became_ready):
        return crash
    if activity is None:
        seen = evidence.load_fault.activity if evidence.load_fault is not None else None
        return crash.model_copy(update={"activity": seen})
    blamed = crash.fault is Fault.CONFIGURATION and crash.class_ is CrashClass.DIED_UNDER_LOAD
    doubted = (
        {"confidence_percent": min(crash.confidence_percent, _IDLE_CONFIDENCE)} if activity.idle and blamed else {}
    )
    return crash.model_copy(update={"activity": recorded(activity), **doubted})


def _startup_timeout(evidence: Evidence) -> Crash:
    proven = Proven(f"start-up over {evidence.startup_timeout_seconds or 0:.0f} s")
    said = f"not ready after {evidence.startup_seconds or 0:.0f} s"
    return _crash(CrashClass.STARTUP_TIMEOUT, said, proven=proven, confidence=90)


def _died_under_load(evidence: Evidence, found: Scan) -> Crash:
    """It served and then did not, and no known message says why. Exit 0 is what vLLM gives then."""
    if quote := found.fatal or found.death:
        return _crash(CrashClass.DIED_UNDER_LOAD, quote, confidence=85, phase=CrashPhase.SERVING)
    if not evidence.stop_requested and (found.asked_to_stop or evidence.ending_signal == SIGTERM):
        said = "somebody else asked the server to stop"
        fault = Fault.INFRASTRUCTURE
        return _crash(CrashClass.DIED_UNDER_LOAD, said, confidence=75, phase=CrashPhase.SERVING, fault=fault)
    return _crash(CrashClass.DIED_UNDER_LOAD, _how_it_ended(evidence), confidence=80, phase=CrashPhase.SERVING)


def _how_it_ended(evidence: Evidence) -> str:
    fault = evidence.load_fault
    if fault is not None and not evidence.dead:
        seen = "the engine died" if fault.kind is ServerFaultKind.ENGINE_DEAD else "the server no longer answered"
        return f"{seen}: {fault.detail}"
    if evidence.exit_code is None:
        return "the server ended after it was ready"
    return f"exit code {evidence.exit_code}{_named(evidence)} after it was ready"


def _named(evidence: Evidence) -> str:
    number = evidence.ending_signal
    return f" ({signal.Signals(number).name})" if number in _SIGNALS else ""


def _unknown(evidence: Evidence, found: Scan) -> Crash:
    """Never a guess: the last distinct error line, or that there is none."""
    if evidence.ending_signal == SIGTERM or found.asked_to_stop or found.interrupted:
        said = found.last_error or "somebody else asked the server to stop before it was ready"
        return _crash(CrashClass.UNKNOWN, said, confidence=40, fault=Fault.INFRASTRUCTURE)
    if evidence.exit_code in _CANNOT_RUN and not found.errors:
        said = found.last_error or f"exit code {evidence.exit_code}: the command is not in the image, or cannot run"
        return _crash(CrashClass.UNKNOWN, said, confidence=50, fault=Fault.INFRASTRUCTURE)
    if quote := found.last_error:
        return _crash(CrashClass.UNKNOWN, quote, confidence=20)
    ended = "ended" if evidence.exit_code is None else f"exit code {evidence.exit_code}{_named(evidence)}"
    said = evidence.container_message or f"{ended} before it was ready; the log names no error"
    return _crash(CrashClass.UNKNOWN, said, confidence=10)


def _serving(evidence: Evidence) -> CrashPhase | None:
    return CrashPhase.SERVING if evidence.became_ready else None


def _of_log(found: Finding) -> Crash:
    pattern = found.pattern
    return _crash(
        pattern.crash_class,
        Quote(found.number, found.text),
        confidence=pattern.confidence,
        phase=found.phase,
        proven=found.proven,
        fault=pattern.fault,
    )


def _of_pod(verdict: PodVerdict) -> Crash:
    proven = Proven(verdict.limit) if verdict.limit else None
    return _crash(verdict.crash_class, verdict.cause, confidence=verdict.confidence, proven=proven, fault=verdict.fault)


def _crash(
    crash_class: CrashClass,
    cause: Quote | str,
    *,
    confidence: int,
    phase: CrashPhase | None = None,
    proven: Proven | None = None,
    fault: Fault | None = None,
) -> Crash:
    quote = cause if isinstance(cause, Quote) else None
    said = quote.text if quote else str(cause)
    return Crash.model_validate(
        {
            "class": crash_class,
            "fault": fault or usual_fault(crash_class),
            "phase": phase,
            "cause": readable(said, _CAUSE_LENGTH),
            "line": quote.number if quote else None,
            "limit": readable(proven.said, _LIMIT_LENGTH) if proven else None,
            "proof": proven.proof if proven and proven.proof != NOTHING else None,
            "confidence_percent": confidence,
        }
    )
