"""What holds at every moment of a simulated world, and what holds once it has come to rest."""

import json
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sloguard.domain.arguments import same_arguments
from tests.simulation.api_server import Change, Object
from tests.simulation.operators import written

THROUGH_GIT = {"Proposing", "Proposed", "Reverting"}
UNDER_WAY = {"Planned", "Promoting", "Verifying", "RollingBack", "Restoring"} | THROUGH_GIT
TOUCHING = {"Planned", "RollingBack"}
FAILED = {"Reverting", "RollingBack", "RolledBack", "Halted"}
MOST_REQUESTS_A_MINUTE = 1500
MOST_WRITES_AN_HOUR = 600
MOST_WRITES_A_TRIAL = 20
"""Beyond those: one that goes through takes some fifteen."""

DOUBLE_START_SECONDS = 60.0
"""For so long a late start, or one of a second operator, may stand beside another trial, until somebody looks."""

POLL_SECONDS = 20.0
"""Between two looks of an operator that nothing disturbs; a pod's times are of whole seconds."""

LATE_SECONDS = 60
"""For so long may arrive what was decided before, by way of a bad network; ..."""

AT_ONCE_SECONDS = 5
"""... and for so long what an operator decided that nothing disturbs."""

LEFT_SECONDS = 20.0
SLOWLY_SECONDS = 90.0
WINDOWS_APART_SECONDS = 3600.0
"""For so long a server that stays after its trial's end is not counted; longer where requests may take long."""

_GONE = {"metadata": {"uid": "none"}}

TERMINAL = {"Completed", "Failed"}


class ViolationError(AssertionError):
    """A promise that was not kept."""


class Tracebacks(logging.Handler):
    """A defect is logged with its traceback, and nothing else is."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.seen: list[str] = []

    def emit(self, record):
        if record.exc_info:
            self.seen.append(f"{record.getMessage()}: {logging.Formatter().formatException(record.exc_info)}")


@dataclass
class Watchman:
    """Looks at every change, and who made it."""

    world: Any
    recorded: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)
    finished: dict[str, Object] = field(default_factory=dict)
    writes: deque[float] = field(default_factory=deque)
    writes_ever: int = 0
    last_write: float = 0.0
    too_many_since: float | None = None
    violations: list[str] = field(default_factory=list)

    def check(self, holds: object, what: str) -> None:
        """The first one ends the schedule; raised in a callback it could get lost."""
        if not holds:
            self.violations.append(what)
            self.world.note("VIOLATION: %s", what)

    def hear(self, change: Change) -> None:
        match change.plural:
            case "sloguardstudies":
                self._study(change)
            case "sloguardtrials":
                self._trial(change)
            case "deployments":
                self._deployment(change)
            case _:
                pass

    def asked(self, process: Any, method: str, path: str) -> None:
        """Of every request that arrives."""
        now = self.world.loop.time()
        _within(process.asked, now, 60.0)
        self.check(len(process.asked) <= MOST_REQUESTS_A_MINUTE, f"{process.name} spins: {len(process.asked)} requests")
        if written(method, path):
            self.writes_ever += 1
            self.last_write = now
            _within(self.writes, now, 3600.0)
            most = MOST_WRITES_AN_HOUR + MOST_WRITES_A_TRIAL * len(self.recorded)
            self.check(len(self.writes) <= most, f"a storm of {len(self.writes)} writes in an hour")

    # the study

    def _study(self, change: Change) -> None:
        if change.before is None:
            self.recorded.clear()
            self.numbers.clear()
            self.finished.clear()
        if change.before is None or change.after is None or not _by_operator(change):
            return
        before, after = (o.get("status", {}).get("promotion") for o in (change.before, change.after))
        self.check(not (before and not after), "a promotion was forgotten")
        if before and after and before["state"] != after["state"]:
            self.check(before["state"] in UNDER_WAY, f"a promotion that was {before['state']} is {after['state']}")
            self.check(before["arguments"] == after["arguments"], "a promotion changed its mind")
            self.check(
                before["previousArguments"] == after["previousArguments"], "a promotion forgot what was there before it"
            )
        if after and (before or {}).get("state") != after["state"]:
            self._promotion_told_the_truth(after)
        self.check(change.before["spec"] == change.after["spec"], "the operator changed a specification")

    def _promotion_told_the_truth(self, promotion: Object) -> None:
        expected = {"Promoted": "arguments", "RolledBack": "previousArguments"}.get(promotion["state"])
        running = self.world.arguments_lately()
        if expected is not None and "deleted" not in promotion["message"]:
            told = any(same_arguments(promotion[expected], own) for own in running)
            self.check(told, f"{promotion['state']}, but production ran with {running}")

    # trials

    def _trial(self, change: Change) -> None:
        name = change.object["metadata"]["name"]
        if change.before is None:
            if not self.world.is_of(name, self.world.server.get("sloguardstudies", "s") or _GONE):
                # It was on its way when its study was deleted: the garbage collector takes it.
                return
            spec = change.object["spec"]
            if spec["purpose"] == "Canary":
                self._failed_in_production(name)
            else:
                self._within_a_window(name)
                self._within_the_quota(name)
            self.check(name not in self.recorded or name in self.world.people.deleted_trials, f"{name} recorded twice")
            self.recorded.add(name)
            self.numbers.add(spec["number"])
            self.check(self.numbers == set(range(len(self.numbers))), f"{name} leaves a gap: {sorted(self.numbers)}")
        elif change.after is None:
            self.finished.pop(name, None)
        elif _by_operator(change):
            self.check(change.before["spec"] == change.after["spec"], f"the specification of {name} was changed")
            status = change.after.get("status", {})
            if name in self.finished:
                same = _but_left_behind(status) == _but_left_behind(self.finished[name])
                self.check(same, f"{name} was finished and has changed")
            if status.get("outcome"):
                self._measured_within_a_window(name, status)
                self.finished[name] = status

    def _failed_in_production(self, name: str) -> None:
        """What is written down of production, whenever that was; nothing is begun with it."""
        promotion = (self.world.server.get("sloguardstudies", "s") or {}).get("status", {}).get("promotion") or {}
        self.check(promotion.get("state") in FAILED, f"{name} tells of a failure, and of none is known")

    def _within_a_window(self, name: str) -> None:
        seconds = AT_ONCE_SECONDS if self.world.undisturbed else LATE_SECONDS
        self.check(self.world.open_lately(seconds), f"{name} is begun outside of the study's windows")

    def _measured_within_a_window(self, name: str, status: Object) -> None:
        """What a window ends when it closes comes to nothing; what had come to its end before that was seen counts."""
        if name in self.finished or status["outcome"] not in {"Feasible", "Infeasible"} or not self.world.undisturbed:
            return
        inside = self.world.open_lately(AT_ONCE_SECONDS) or not self.world.stops_lately(AT_ONCE_SECONDS)
        self.check(inside, f"{name} is measured though the window that stops it has closed")

    def _within_the_quota(self, name: str) -> None:
        """It is asked before it is taken."""
        since = self.world.machinery.quota_short_since
        seconds = POLL_SECONDS if self.world.undisturbed else LATE_SECONDS
        fresh = since is None or self.world.loop.time() - since < seconds
        self.check(fresh, f"{name} is begun though no more pods may be")

    # Deployments

    def _deployment(self, change: Change) -> None:
        labels = change.object["metadata"].get("labels", {})
        if change.before is None and "sloguard.dev/trial" in labels:
            name = change.object["metadata"]["name"]
            self._within_a_window(name)
            record = self.world.server.get("sloguardtrials", name)
            told = record is not None and record["spec"]["purpose"] == "Canary"
            self.check(not told, f"a server was made for {name}, which only tells of what failed in production")
        if "sloguard.dev/trial" not in labels:
            if _by_operator(change):
                self._production_touched(change)
            return
        self._count_servers()

    def _count_servers(self) -> None:
        study = self.world.server.get("sloguardstudies", "s")
        most = self.world.parallelism_lately() if study else 9
        # Those of a study that was deleted and made anew are the garbage collector's, in its own time.
        there = [n for d in self._servers() if self.world.is_of(n := d["metadata"]["name"], study)]
        if len(there) <= most:
            self.too_many_since = None
        elif not (self.world.doubled or self.world.loop.time() - self.world.late_since < DOUBLE_START_SECONDS):
            self.check(False, f"{there} are there at once, and {most} may be")
        elif self.too_many_since is None:
            self.too_many_since = self.world.loop.time()

    def _servers(self) -> list[Object]:
        """Of trials, those that nobody has taken away yet."""
        return [
            d
            for d in self.world.server.items("deployments")
            if "sloguard.dev/trial" in d["metadata"].get("labels", {}) and "deletionTimestamp" not in d["metadata"]
        ]

    def _production_touched(self, change: Change) -> None:
        if change.before is None or change.after is None:
            self.check(False, "the operator made or removed a Deployment that is no trial's")
            return
        study = self.world.server.get("sloguardstudies", "s")
        promotion = (study or {}).get("status", {}).get("promotion") or {}
        container = _container(change.after)
        outside = {k: v for k, v in _container(change.before).items() if k != "args"}
        self.check(outside == {k: v for k, v in container.items() if k != "args"}, "more than arguments was changed")
        self.check(_but_containers(change.before) == _but_containers(change.after), "more than arguments was changed")
        self.check("git" not in promotion, "production was patched by a promotion through Git")
        deleted = "deletionTimestamp" in (study or {"metadata": {}})["metadata"]
        state = promotion.get("state")
        held = study is not None and "sloguard.dev/promotion" in study["metadata"].get("finalizers", [])
        self.check(held, "production was changed while nothing held the study")
        if _pace(change.before) != _pace(change.after):
            self._pace_changed(promotion, change)
            return
        self.check(state in TOUCHING or (deleted and state in UNDER_WAY), f"production changed in state {state}")
        ours = [promotion.get("arguments"), promotion.get("previousArguments")]
        self.check(container["args"] in ours, f"production was given {container['args']}")
        self.check(_container(change.before)["args"] in ours, "somebody else's arguments were overwritten")

    def _pace_changed(self, promotion: Object, change: Change) -> None:
        """From what is recorded to what is recorded, and back."""
        state, ours = promotion.get("state"), _as_recorded(promotion.get("pace"))
        theirs = _as_recorded(promotion.get("previousPace", {}).get("pace"))
        self.check(state in {"Planned", "Restoring"}, f"production's pace was changed in state {state}")
        wanted = (theirs, ours) if state == "Planned" else (ours, theirs)
        self.check((_pace(change.before), _pace(change.after)) == wanted, "a pace that nobody has recorded")
        self.check(_container(change.before) == _container(change.after), "arguments were changed with the pace")

    # all along

    def look(self) -> None:
        """Now and then."""
        self.check(not self.world.tracebacks.seen, f"a traceback: {self.world.tracebacks.seen[:1]}")
        self._count_servers()
        since = self.too_many_since
        late = since is not None and self.world.loop.time() - since > DOUBLE_START_SECONDS
        self.check(not late or not self.world.somebody_works(), "more trials are live than may be, for too long")
        self._budget()
        self._stopped_with_the_window()

    def _budget(self) -> None:
        study = self.world.server.get("sloguardstudies", "s")
        if study is None or self.world.people.helped_themselves:
            return
        used, latest = self.world.gpu_seconds(study["metadata"]["uid"])
        budget = max(study["spec"]["budget"]["gpuMinutes"], self.world.minutes_lately()) * 60
        spare = self.world.parallelism_lately() * POLL_SECONDS if self.world.undisturbed else latest
        self.check(used - spare <= budget, f"{used:.0f} GPU-seconds are used of {budget}, {latest:.0f} by the last")

    def _stopped_with_the_window(self) -> None:
        """At the latest when an operator has been at work for a while."""
        seconds = POLL_SECONDS if self.world.undisturbed else LATE_SECONDS
        works = self.world.undisturbed or self.world.has_worked_for(seconds)
        study = self.world.server.get("sloguardstudies", "s")
        if study is None or not works or self.world.open_lately(seconds):
            return
        left = [d["metadata"]["name"] for d in self._servers()]
        stops = self.world.stops_lately(seconds)
        self.check(not (left and stops), f"{left} run on after the window that stops them has closed")

    def _left_behind_counts(self, trials: list[Object]) -> None:
        """What a dead operator left behind is on the record of its trial."""
        by_name = {t["metadata"]["name"]: t for t in trials}
        studies = {reference["uid"] for t in trials for reference in t["metadata"]["ownerReferences"]}
        tolerated = LEFT_SECONDS if self.world.prompt else SLOWLY_SECONDS
        for held in () if self.world.people.helped_themselves else self.world.machinery.held.values():
            known = held.trial in by_name and held.study in studies
            if known and held.recorded is not None and held.until is not None:
                late = (held.until - held.recorded - tolerated) * held.gpus
                told = _counted_late(by_name[held.trial])
                self.check(late <= told, f"{held.trial} was left behind, and {told} of {late:.0f} GPU-seconds count")

    # at rest

    def explained(self) -> str:
        """Why a study is not at rest; empty where it is."""
        study = self.world.server.get("sloguardstudies", "s")
        if study is None:
            return ""
        if "deletionTimestamp" in study["metadata"]:
            return "the study does not go"
        status = study.get("status", {})
        conditions = {c["type"]: c for c in status.get("conditions", [])}
        stalled = conditions.get("Stalled", {}).get("status") == "True"
        phase = status.get("phase", "Pending")
        waits = conditions.get("Ready", {}).get("reason")
        if waits == "WaitingForGPUs":
            return "" if self._none_is_free() else "it waits for GPUs, and some are free"
        if waits == "WaitingForQuota":
            short = self.world.machinery.quota_short_since is not None
            return "" if short and not self._servers() else "it waits for a quota that has room"
        if self.asks_again_and_again() or (waits == "OutsideWindow" and self._windows_change_nothing()):
            return ""
        if phase not in TERMINAL | {"AwaitingApproval", "Suspended"} and not stalled:
            return f"still {phase}: {json.dumps(conditions.get('Ready', {}))}"
        # What was under way when it stalled goes on to its end.
        return "it has stalled, and a server is still there" if stalled and self._servers() else ""

    def asks_again_and_again(self) -> bool:
        """For a Job to its repository, whose pod a quota keeps out."""
        promotion = (self.world.server.get("sloguardstudies", "s") or {}).get("status", {}).get("promotion") or {}
        wanted = "git" in promotion and promotion["state"] in THROUGH_GIT
        return wanted and self.world.machinery.quota_full_since is not None

    def waits_within_windows(self) -> bool:
        """Then what it waits for is said anew whenever a window opens or closes."""
        study = self.world.server.get("sloguardstudies", "s") or {"spec": {}}
        return bool(study["spec"].get("windows")) and study.get("status", {}).get("phase") not in TERMINAL

    def _windows_change_nothing(self) -> bool:
        """For so long has a quota had no room that one has opened, and none could be used."""
        since = self.world.machinery.quota_short_since
        return since is not None and self.world.loop.time() - since > WINDOWS_APART_SECONDS

    def _none_is_free(self) -> bool:
        """Production has them all, or waits for the rest of them."""
        pods = [p for p in self.world.server.items("pods") if p["status"].get("phase") in {"Pending", "Running"}]
        trials = [p for p in pods if "sloguard.dev/trial" in p["metadata"].get("labels", {})]
        return not trials and len(pods) >= self.world.machinery.gpus

    def at_rest(self) -> None:
        """What is said is so, and nothing is left over."""
        server = self.world.server
        left = [
            f"{plural} {o['metadata']['name']}"
            for plural in ("deployments", "jobs", "pods")
            for o in server.items(plural)
            if "sloguard.dev/trial" in o["metadata"].get("labels", {})
        ]
        self.check(not left, f"left over: {left}")
        study = server.get("sloguardstudies", "s")
        trials = server.items("sloguardtrials")
        if study is None:
            self.check(not trials, "trials outlive their study")
            return
        self._left_behind_counts(trials)
        status = study.get("status", {})
        for each in status.get("conditions", []):
            self.check(each["message"], f"condition {each['type']} says nothing")
            self.check(each["reason"], f"condition {each['type']} has no reason")
        counts = status.get("trials", {})
        numbers = {t["spec"]["number"] for t in trials if t["spec"]["purpose"] != "Canary"}
        self.check(counts.get("total", 0) == len(numbers), f"{counts} trials are told of, and {len(numbers)} are there")
        unfinished = [t["metadata"]["name"] for t in trials if not t.get("status", {}).get("outcome")]
        stalled = any(c["type"] == "Stalled" and c["status"] == "True" for c in status.get("conditions", []))
        self.check(counts.get("running", 0) == len(unfinished), f"{counts}, but {unfinished} are not finished")
        self.check(not unfinished or stalled, f"{unfinished} are not finished")
        generation = status.get("observedGeneration")
        self.check(generation == study["metadata"]["generation"], f"generation {generation} is not the last")
        promotion = status.get("promotion") or {}
        owes = promotion.get("state") in UNDER_WAY and "git" not in promotion
        held = "sloguard.dev/promotion" in study["metadata"].get("finalizers", [])
        self.check(owes == held, f"finalizer {held}, promotion {promotion.get('state')}")
        production = server.get("deployments", "llama")
        if production is not None and promotion.get("pace") and not owes:
            self.check(_pace(production) != _as_recorded(promotion["pace"]), "production's pace was not given back")
        self._soaked(study, trials)
        recommended = (status.get("recommendation") or {}).get("trial")
        names = {t["metadata"]["name"] for t in trials} | self.world.people.deleted_trials
        self.check(recommended is None or recommended in names, f"{recommended} is recommended and is not there")

    def _soaked(self, study: Object, trials: list[Object]) -> None:
        """What passes for soaked has outlived a soak, and production has nothing else. Records may have been lost."""
        ends = {_settings(t): t["status"].get("outcome") for t in trials if t["spec"]["purpose"] == "Soak"}
        if self.world.people.deleted_trials:
            return
        recommendation, promotion = (study["status"].get(part) or {} for part in ("recommendation", "promotion"))
        if recommendation.get("soakedSeconds"):
            outlived = ends.get(_settings({"spec": recommendation})) == "Feasible"
            self.check(outlived, f"{recommendation['trial']} passes for soaked, and soaks ended so: {ends}")
        if promotion and study["spec"]["promotion"]["soakSeconds"] and not self.world.people.changed_soak:
            outlived = ends.get(_settings({"spec": promotion})) == "Feasible"
            self.check(outlived, f"{promotion['trial']} is promoted, and soaks ended so: {ends}")


def _settings(trial: Object) -> str:
    return json.dumps(trial["spec"].get("parameters", {}), sort_keys=True)


def _counted_late(trial: Object) -> int:
    return trial.get("status", {}).get("leftBehindGpuSeconds", 0)


def _but_left_behind(status: Object) -> Object:
    """What an operator that died has left behind is counted by the next one."""
    return {key: value for key, value in status.items() if key != "leftBehindGpuSeconds"}


def _within(times: deque[float], now: float, seconds: float) -> None:
    times.append(now)
    while times[0] < now - seconds:
        times.popleft()


def _by_operator(change: Change) -> bool:
    return change.by.startswith("operator")


def _container(deployment: Object) -> Object:
    return deployment["spec"]["template"]["spec"]["containers"][0]


def _pace(deployment: Object) -> tuple[str, str, int]:
    """With the API's defaults."""
    spec = deployment["spec"]
    rolling = spec.get("strategy", {}).get("rollingUpdate", {})
    amounts = (str(rolling.get(name, "25%")) for name in ("maxSurge", "maxUnavailable"))
    return (*amounts, spec.get("minReadySeconds", 0))


def _as_recorded(pace: Object | None) -> tuple[str, str, int] | None:
    return None if pace is None else (pace["maxSurge"], pace["maxUnavailable"], pace.get("minReadySeconds", 0))


def _but_containers(deployment: Object) -> str:
    """And but for the pace of its updates."""
    spec = json.loads(json.dumps(deployment["spec"]))
    spec["template"]["spec"].pop("containers")
    if spec.get("strategy", {}).get("type", "RollingUpdate") == "RollingUpdate":
        spec.pop("strategy", None)
    spec.pop("minReadySeconds", None)
    return json.dumps([spec, deployment["metadata"].get("labels")], sort_keys=True)
