"""Which trial comes next, and when: further attempts, baselines, the search, confirmations. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import OnClose, Purpose, StudyPhase, Trial, TrialSpec
from sloguard.engine import budget, candidates
from sloguard.engine.arms import taught
from sloguard.engine.beliefs import believing
from sloguard.engine.early_stop import all_served, stops_early
from sloguard.engine.infrastructure_faults import back_off, exhausted
from sloguard.engine.known import IDLE_SECONDS, Ground, Known, SearchEnd, Verdict
from sloguard.engine.search_end import CONFIRMING, search_end
from sloguard.engine.soak import death_of, is_owed, soaks_of
from sloguard.engine.target_change import first_trial
from sloguard.engine.trial_length import Needed, needed
from sloguard.engine.watch import watch_of
from sloguard.engine.windows import WindowError, hours, longest

LOOK_AGAIN_SECONDS = 1.0
"""While Prometheus may yet have what is missing, or after a ledger was found."""

LIVE_SECONDS = 5.0
"""Between looks at live traffic: a server that stands still is found a scrape and a look later."""

MOST_ASLEEP_SECONDS = 3600.0
"""Clocks may be set meanwhile."""

MOST_ATTEMPTS = 100
"""Of one trial, pauses that the user wanted included; the API takes no higher number."""

BASELINE_NUMBERS = (candidates.PRODUCTION_NUMBER, candidates.DEFAULT_NUMBER)


@dataclass(frozen=True, slots=True)
class Following:
    """The trial to record now, what is waited for, or None when none is wanted; and why the search is over."""

    wanted: TrialSpec | Verdict | None
    search_end: SearchEnd | None = None


def next_trial(known: Known, ground: Ground) -> Following:
    """By the records alone; of several that are wanted, attempts come first, then baselines, the search, repeats, and
    the soak of what has won.
    """
    if known.search_ended:
        return Following(None)
    blocked = _blocked(known)
    owed = _another_attempt(known, ground, blocked, _owed(known)) or _baseline(known, ground, blocked)
    if owed is not None:
        return Following(owed)
    searched = _search(known, ground, blocked)
    if not isinstance(searched, SearchEnd):
        return Following(searched)
    repeat = _confirmation(known, ground, blocked) or _soak(known, ground, blocked)
    if isinstance(repeat, TrialSpec) and searched is not CONFIRMING:
        reason = f"{repeat.reason} The search ended: {searched.message}."
        repeat = repeat.model_copy(update={"reason": reason[:1024]})
    return Following(repeat or (_busy(known) if known.unfinished else None), searched)


def phase_for(spec: TrialSpec) -> StudyPhase:
    """What the study is about while this trial is made."""
    if spec.is_repeat:
        return StudyPhase.CONFIRMING
    return StudyPhase.SEARCHING if spec.purpose is Purpose.SEARCH else StudyPhase.BASELINING


def phase_of(known: Known) -> StudyPhase:
    """By the trials that there are."""
    baselines = _baselines(known)
    if len(baselines) < len(BASELINE_NUMBERS) or not all(taught(t) for t in baselines):
        return StudyPhase.BASELINING
    return StudyPhase.CONFIRMING if known.latest[-1].spec.is_repeat else StudyPhase.SEARCHING


def _blocked(known: Known) -> Verdict | None:
    """Why no trial may start now, whichever it is."""
    if len(known.unfinished) >= known.study.spec.trial.parallelism:
        return _busy(known)
    return _outside(known) or _no_room(known)


def _no_room(known: Known) -> Verdict | None:
    """It is asked before it is taken: production, and what waits for GPUs already, come first."""
    room, phase = known.room, phase_of(known)
    if room is None:
        return Verdict(phase, "AskingForRoom", "free GPUs are looked for", asks_for_room=True)
    if room.places < 1 or (room.blind and known.unfinished):
        return Verdict(phase, room.reason, room.message)
    return None


def _outside(known: Known) -> Verdict | None:
    """No window is open, or not for long enough. The study is looked at again when that changes."""
    spec, phase = known.study.spec, phase_of(known)
    try:
        found = hours(spec.windows, known.now)
    except WindowError as error:
        return Verdict(phase, "WindowInvalid", str(error), stalled=True)
    if found.is_open and not found.stops:
        return None
    wake = math.inf if found.changes_at is None else (found.changes_at - known.now).total_seconds()
    moment = "" if found.changes_at is None else f"{found.changes_at:%Y-%m-%d %H:%M} UTC"
    least = needed(known)
    if found.is_open and wake >= least.length.total_seconds():
        return None
    if _too_short(known, least):
        minutes = math.floor(least.length / timedelta(minutes=1)) + 1
        message = (
            f"{least.why}, and no window is that long: raise durationMinutes in spec.windows to {minutes} at least, "
            "or set onClose: Finish"
        )
        return Verdict(phase, "WindowsTooShort", message, stalled=True, wake_after_seconds=_asleep(wake))
    if not found.is_open:
        message = f"no trial starts before the next window opens{moment and ', at '}{moment}"
        return Verdict(phase, "OutsideWindow", message, wake_after_seconds=_asleep(wake))
    message = f"the window closes at {moment} and would stop a new trial before its end; {least.why}"
    return Verdict(phase, "WindowCloses", message, wake_after_seconds=_asleep(wake))


def _asleep(seconds: float) -> float:
    return min(seconds, MOST_ASLEEP_SECONDS)


def _too_short(known: Known, least: Needed) -> bool:
    """Whether each window would stop a trial before its end, whenever it began."""
    windows = known.study.spec.windows
    return all(w.on_close is OnClose.STOP for w in windows) and longest(windows, known.now) < least.length


def _busy(known: Known) -> Verdict:
    """Told in the words in which it was recorded, so that nothing has to be written until something comes of it."""
    phase = phase_of(known)
    last = max(known.unfinished, key=lambda t: (t.spec.number, t.spec.attempt)).spec
    told = under_way(last.model_copy(update={"number": last.number + first_trial(known.study)}))
    return Verdict(phase, phase.value, told, wake_after_seconds=until_readable(known.unfinished, known))


def under_way(spec: TrialSpec) -> str:
    """By its number among all of the study's trials."""
    return f"trial {spec.number}: {spec.reason}"


def until_readable(trials: Iterable[Trial], known: Known) -> float:
    """Nothing in a cluster tells when live traffic was watched long enough, nor that it stands still; GPUs must not be
    held beyond either.
    """
    watches = (watch_of(trial, known.study.spec) for trial in trials)
    left = ((watch.readable_at - known.now).total_seconds() for watch in watches if watch is not None)
    return min([IDLE_SECONDS, *(min(max(seconds, LOOK_AGAIN_SECONDS), LIVE_SECONDS) for seconds in left)])


def _baselines(known: Known) -> list[Trial]:
    return [t for t in known.latest if t.spec.number in BASELINE_NUMBERS]


def missing_baselines(known: Known) -> list[int]:
    """The numbers of those that have no record."""
    numbers = {t.spec.number for t in known.latest}
    return [number for number in BASELINE_NUMBERS if number not in numbers]


def _baseline(known: Known, ground: Ground, blocked: Verdict | None) -> TrialSpec | Verdict | None:
    """Also where somebody deleted the record of one; but the second is of no use where the first was given up, nor
    where it would be ended at once because the first has used up the budget's minutes.
    """
    missing = next(iter(missing_baselines(known)), None)
    if missing is None or any(t.finished and not taught(t) for t in _baselines(known)):
        return None
    if budget.minutes_over(known.study.spec, known.used):
        return None
    return blocked or candidates.baseline(known.study, missing, ground)


def _owed(known: Known) -> list[Trial]:
    """What said nothing about its configuration and is made again: unless the minutes that it needs are over, or, of a
    soak, nobody waits for it any more.
    """
    spec, soaked = known.study.spec, known.gate.soak
    owed = [t for t in known.latest if t.finished and not taught(t)]
    soaks = soaks_of(soaked, owed) if soaked is not None and not budget.soak_over(spec, known.used) else []
    others = [t for t in owed if t.spec.purpose is not Purpose.SOAK]
    return [*([] if budget.minutes_over(spec, known.used) else others), *soaks]


def _another_attempt(
    known: Known, ground: Ground, blocked: Verdict | None, owed: Sequence[Trial]
) -> TrialSpec | Verdict | None:
    """Of the one that may be tried first."""
    if not owed:
        return None
    exhausted = next((verdict for t in owed if (verdict := _exhausted(known, t)) is not None), None)
    if exhausted is not None:
        return exhausted
    last = min(owed, key=lambda t: (_ready_at(t, known.now), t.spec.number))
    wait = (_ready_at(last, known.now) - known.now).total_seconds()
    if wait > 0:
        message = f"{last.name} is tried again after a pause: {last.status.message}"
        return Verdict(phase_of(known), "BackingOff", message, wake_after_seconds=min(wait, IDLE_SECONDS))
    return blocked or candidates.another_attempt(known.trials, last, ground)


def _exhausted(known: Known, last: Trial) -> Verdict | None:
    """A person has to look: another attempt would most likely end like those before."""
    if last.spec.attempt >= MOST_ATTEMPTS:
        message = f"{last.name} was the last attempt that this trial may have; create a new study"
        return Verdict(phase_of(known), "TooManyAttempts", message, stalled=True)
    found = exhausted(known.trials, last, known.study.spec.trial)
    return None if found is None else Verdict(phase_of(known), found.reason, found.message, stalled=True)


def _ready_at(last: Trial, now: datetime) -> datetime:
    return (last.status.finished_at or now) + back_off(last)


def _search(known: Known, ground: Ground, blocked: Verdict | None) -> TrialSpec | Verdict | SearchEnd:
    """Only with both baselines in hand, until it is over or has tried everything."""
    baselines = _baselines(known)
    if any(not t.finished for t in baselines):
        return _busy(known)
    if missing_baselines(known) or not all(taught(t) for t in baselines):
        return SearchEnd("BaselineMissing", "without both baselines nothing can be compared")
    ended = search_end(known) or all_served(known)
    if ended is not None:
        return ended
    if blocked is not None:
        return blocked
    if ground.ledger is None:
        message = "what earlier studies left is looked up"
        return Verdict(phase_of(known), "ReadingLedger", message, wake_after_seconds=LOOK_AGAIN_SECONDS)
    asked = candidates.search(known.study, known.latest, ground, known.percent)
    return NOTHING_LEFT if asked is None else stops_early(known, asked) or asked


NOTHING_LEFT = SearchEnd("NothingLeft", "the search space holds no configuration that was not tried")


def _confirmation(known: Known, ground: Ground, blocked: Verdict | None) -> TrialSpec | Verdict | None:
    """Of the gate's candidate, which is not settled before the search's last trials are in, or of a baseline."""
    if any(not t.spec.is_repeat for t in known.unfinished):
        return None
    if not known.gate.wanted or budget.over(known.study.spec, known.used):
        return None
    if blocked is not None:
        return blocked
    return candidates.repeat(known.study, known.latest, believing(known, ground).gate, ground)


def _soak(known: Known, ground: Ground, blocked: Verdict | None) -> TrialSpec | Verdict | None:
    """Of the gate's winner. Where the minutes are over it is recommended without, and that is said."""
    if known.unfinished or known.gate.soak is None or budget.soak_over(known.study.spec, known.used):
        return None
    if blocked is not None:
        return blocked
    winner = believing(known, ground).gate.soak
    return None if winner is None else candidates.soak(known.study, known.latest, winner, ground, "recommended")


def before_promotion(known: Known, ground: Ground, promoted: Trial) -> TrialSpec | Verdict | None:
    """What has to come before production is given a trial's arguments, however that is done: its soak, unless it has
    outlived one. None where nothing has to come any more.

    A recommended trial was soaked before it was recommended. One that a person names may never have been, and neither
    one that was recommended when the minutes were over.
    """
    spec, soaks = known.study.spec, soaks_of(promoted, known.latest)
    death = death_of(promoted, soaks)
    if death is not None:
        message = (
            f"{promoted.name} is not promoted: it did not outlive its worst-case load ({death.name}: "
            f"{death.status.message}). Name another trial in spec.promotion.approvedTrial, or create a new study"
        )
        return Verdict(StudyPhase.AWAITING_APPROVAL, "SoakFailed", message, stalled=True)
    if not is_owed(spec, promoted, soaks):
        return None
    if known.unfinished:
        return _busy(known)
    over = budget.soak_over(spec, known.used)
    if over:
        message = (
            f"{promoted.name} is not promoted, since it did not outlive its worst-case load yet: {over}. Raise "
            "spec.budget, or set spec.promotion.soakSeconds to 0 to promote it all the same"
        )
        return Verdict(StudyPhase.AWAITING_APPROVAL, "NotSoaked", message, stalled=True)
    blocked, owed = _blocked(known), [t for t in soaks if not taught(t)]
    if owed:
        return _another_attempt(known, ground, blocked, owed)
    return blocked or candidates.soak(known.study, known.latest, promoted, ground, "promoted")
