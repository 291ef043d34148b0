"""A substrate that does its worst to the planner: slow and failing servers, restarts, stale reads, meddling people.

Everything follows from a seed. Time is simulated.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from sloguard.api.v1alpha1 import OnClose, Outcome, PromotionState, Purpose, RolloutPace
from sloguard.domain.evidence import Evidence
from sloguard.domain.score import comparison_rate_percent
from sloguard.engine.actions import ApplyArguments, GivePaceBack, RecordTrial, SetPace, StartServer, UpdateTrial
from sloguard.engine.budget import baseline_repeats
from sloguard.engine.gate import judge
from sloguard.engine.known import latest_attempts
from sloguard.engine.plan import plan
from sloguard.engine.promotion import UNDER_WAY
from sloguard.engine.room import AMPLE, Room
from sloguard.engine.snapshot import (
    DeclaredPace,
    Load,
    LoadState,
    Rollout,
    Server,
    ServerState,
    TargetProblem,
    TargetState,
)
from tests.unit.engine.builders import (
    FAILED_ROLLOUT,
    FIRST,
    OOM,
    PRODUCTION,
    PULL,
    SETTLED,
    STATUS,
    World,
    is_stalled,
    make_study,
    rate,
    result,
)

GONE = TargetProblem("TargetNotFound", "there is no Deployment llama")
BASELINES = ({"max_num_seqs": "2"}, {})
MEDDLED = ("model", "--max-num-seqs=3", "--port=8000")
TOUCHING = {PromotionState.PLANNED, PromotionState.ROLLING_BACK}
PACE = RolloutPace(max_surge="1", max_unavailable="0")


class ConflictError(Exception):
    """The API server refused a write, because what it was based on has changed."""


@dataclass
class Fate:
    """What one attempt of one trial meets."""

    starts_after: float
    loads_for: float
    start: Evidence | None = None
    end: str = "result"
    goodput: float = 0.0
    met: bool = True
    sent: int = 200


@dataclass
class Hazards(World):
    """Checks each write; `calm` stops all but the servers' own failures."""

    random: Random = field(default_factory=Random)
    fates: dict = field(default_factory=dict)
    begun: dict = field(default_factory=dict)
    finished: dict = field(default_factory=dict)
    earlier: list = field(default_factory=list)
    rollout_ends: tuple[datetime, Rollout] | None = None
    storms: bool = False
    room: Room = AMPLE
    calm: bool = False
    deleted: bool = False
    found: TargetState = field(default_factory=lambda: TargetState(PRODUCTION))

    # what servers do

    def fate(self, trial) -> Fate:
        if trial.name not in self.fates:
            own = Random(f"{self.study.metadata.uid} {sorted(trial.spec.parameters.items())}")
            # Or next to nothing would win, and what comes after a victory would hardly be seen.
            most = 80 if trial.spec.parameters in BASELINES else 200
            goodput, doomed = own.uniform(0, most), own.random()
            luck = self.random.random()
            fate = Fate(self.random.uniform(1, 40), self.random.uniform(5, 20), goodput=goodput, met=own.random() < 0.6)
            fate.sent = 100 if own.random() < 0.1 else 200
            fate.goodput *= self.random.uniform(0.8, 1.2)
            unlucky = self.storms and luck < 0.5
            if doomed < 0.2:
                fate.start = OOM
            elif doomed < 0.3:
                fate.end = "exit 0"
            elif luck < 0.08 or unlucky:
                fate.start = PULL
            elif luck < 0.12:
                fate.start, fate.starts_after = None, 500.0
            elif luck < 0.2:
                fate.end = self.random.choice(["no result", "invalid", "silent", "replaced", "stuck"])
            dies_late = own.random() < 0.3
            if trial.spec.purpose is Purpose.SOAK and fate.end == "result" and dies_late:
                fate.end = "exit 0"
            self.fates[trial.name] = fate
        return self.fates[trial.name]

    def work(self) -> None:
        for name, server in list(self.servers.items()):
            trial = self.trials[name]
            fate, age = self.fate(trial), (self.now - self.begun.setdefault(name, self.now)).total_seconds()
            if server.state is ServerState.WAITING:
                self.servers[name] = (
                    replace(server, evidence=PULL)
                    if fate.start is PULL
                    else Server(ServerState.STARTING, running_since=self.now)
                )
            elif server.state is ServerState.STARTING and age > fate.starts_after:
                state = ServerState.ENDED if fate.start else ServerState.READY
                self.servers[name] = replace(server, state=state, evidence=fate.start)
            elif server.state is ServerState.READY and name in self.loads:
                self._load(name, fate, (self.now - self.begun.setdefault(f"{name} load", self.now)).total_seconds())
        if self.rollout_ends and self.now >= self.rollout_ends[0] and not isinstance(self.target, TargetProblem):
            self.target, self.rollout_ends = replace(self.target, rollout=self.rollout_ends[1]), None

    def _load(self, name, fate, age) -> None:
        if age < fate.loads_for or self.loads[name].state is not LoadState.RUNNING:
            return
        done = LoadState.DONE
        match fate.end:
            case "result":
                percents = (100, 150) if self.random.random() < 0.8 else (100,)
                rates = [rate(fate.goodput, fate.met, percent, fate.sent) for percent in percents]
                self.loads[name] = Load(done, result(*rates))
            case "no result":
                self.loads[name] = Load(LoadState.FAILED, detail="exit code 137")
            case "invalid":
                self.loads[name] = Load(done, result(invalid="the generator was late"))
            case "silent":
                self.loads[name] = Load(done, result(fault_at=self.now))
            case "replaced":
                self.servers[name] = Server(ServerState.STARTING, running_since=self.now)
                self.loads[name] = Load(done, result(fault_at=self.now))
            case "exit 0":
                ended = Evidence(ended=True, exit_code=0, became_ready=True)
                self.servers[name] = replace(self.servers[name], state=ServerState.ENDED, evidence=ended)
                self.loads[name] = Load(done, result(fault_at=self.now))

    # what the planner does

    def gather(self):
        return replace(super().gather(), room=None)

    def turn(self) -> None:
        """One reconcile, perhaps of a planner that has slept on its snapshot, perhaps cut short by a kill."""
        snapshot = fresh = self.gather()
        self.earlier = [*self.earlier[-3:], snapshot]
        if not self.calm and self.random.random() < 0.1:
            snapshot = self.random.choice(self.earlier)
        planned = plan(snapshot, self.now)
        fresh_now = snapshot is fresh
        if planned.asks_for_room:
            assert not any(isinstance(action, RecordTrial) for action in planned.actions)
            snapshot = replace(snapshot, room=self.room)
            fresh = snapshot if fresh_now else fresh
            planned = plan(snapshot, self.now)
        if self.random.random() < 0.1:
            assert planned == plan(snapshot, self.now), "the same snapshot gave another plan"
        writes = self.writes(planned)
        killed = not self.calm and self.random.random() < 0.15
        try:
            for what, write in writes[: self.random.randrange(len(writes) + 1) if killed else len(writes)]:
                unchanged = what == STATUS and planned.status == snapshot.study.status
                self._check(snapshot, planned, what)
                if not unchanged:
                    write()
        except ConflictError:
            killed = True
        self.look()
        if snapshot is fresh and not killed:
            self._look_at_what_runs()

    def _look_at_what_runs(self) -> None:
        """What holds after every turn that was not disturbed, however long the one before it was ago."""
        spec, live = self.study.spec, [t for t in self.trials.values() if not t.finished]
        recorded = sum(t.status.gpu_seconds or 0 for t in self.trials.values() if t.finished)
        held = [self.now - s.running_since for name, s in self.servers.items() if s.running_since is not None]
        used = recorded + sum(span.total_seconds() for span in held)
        pausing = {
            "it was deleted": self.deleted,
            "it is suspended": spec.suspend,
            "its GPU-minutes are used": used >= spec.budget.gpu_minutes * 60,
            "its windows are closed": not self.is_open and spec.windows[0].on_close is OnClose.STOP,
        }
        for why, holds in pausing.items():
            assert not (holds and (live or self.servers or self.loads)), f"something runs though {why}"

    @property
    def is_open(self) -> bool:
        """By the one schedule that these worlds have: every ten minutes."""
        windows = self.study.spec.windows
        return not windows or self.now.minute % 10 < windows[0].duration_minutes

    def _check(self, snapshot, planned, what) -> None:
        """What the API server would refuse, and what must never be asked of it."""
        if what == (FIRST if planned.status_first else STATUS) and planned.status != snapshot.study.status:
            self._same(snapshot.study, self.study)
        match what:
            case UpdateTrial(trial, status):
                self._same(trial, self.trials[trial.name])
                same = _lasting(trial) == _lasting(trial.model_copy(update={"status": status}))
                assert same or not trial.finished, "a finished trial was changed"
            case RecordTrial(name, spec) if name not in self.trials:
                numbers = {t.spec.number for t in self.trials.values()}
                assert self.is_open, "a trial was recorded outside the windows"
                assert snapshot.room is not None, "a trial was recorded, and nobody had asked for room"
                assert snapshot.room.places, "a trial was recorded without room for it"
                ending = {a.trial.name for a in planned.actions if isinstance(a, UpdateTrial) and a.status.outcome}
                under_way = {t.name for t in snapshot.trials if not t.finished} - ending
                assert not (snapshot.room.blind and under_way), (
                    "more than one trial at a time, and nobody sees the GPUs"
                )
                assert spec.number in numbers | {len(numbers)}, "numbers are not dense"
                if spec.purpose is Purpose.SEARCH and spec.number not in numbers:
                    self._check_search()
            case StartServer(trial, _) if trial.status.started_at is None:
                assert self.is_open, "a trial began outside the windows"
            case ApplyArguments(arguments):
                self._same(snapshot.target, self.target)
                promotion = self.study.status.promotion
                assert promotion is not None, "production was changed before a promotion was recorded"
                assert promotion.state in TOUCHING or self.deleted
                ours = promotion.arguments, promotion.previous_arguments
                assert list(arguments) in ours
                assert list(self.target.arguments) in ours, "somebody else's arguments were overwritten"
                assert self.finalizer, "production was changed while nothing held the study"
                self._roll_out()
            case SetPace() | GivePaceBack():
                self._same(snapshot.target, self.target)
                self._check_pace(what)

    def _check_pace(self, action) -> None:
        promotion = self.study.status.promotion
        assert promotion is not None, "production's pace was changed before a promotion was recorded"
        assert self.finalizer, "production's pace was changed while nothing held the study"
        begins = isinstance(action, SetPace)
        assert promotion.state is (PromotionState.PLANNED if begins else PromotionState.RESTORING)
        assert self.target.declared.pace == (PACE if begins else promotion.pace), "somebody else's pace"

    def _check_search(self) -> None:
        """It begins with no repeat made, or goes on after the gate has refused all that was found so far."""
        latest = latest_attempts(self.trials.values())
        if latest[-1].spec.is_repeat:
            gate = judge(self.study.spec, latest, comparison_rate_percent(latest))
            assert gate.candidate is None, "the search went on between repeats"
            assert gate.winner is None, "the search went on with a winner in hand"
            assert not gate.over, "the search went on though nothing more may win"

    def _same(self, ours, theirs) -> None:
        if ours is not theirs and ours != theirs:
            raise ConflictError

    def _roll_out(self) -> None:
        end = self.random.choice([Rollout(), Rollout(), FAILED_ROLLOUT, Rollout(complete=False)])
        self.rollout_ends = (self.now + timedelta(seconds=self.random.uniform(0, 60)), end)
        self.target = replace(self.target, rollout=Rollout(complete=False))

    def look(self) -> None:
        """What holds at every moment."""
        spec = self.study.spec
        numbers = sorted({t.spec.number for t in self.trials.values()})
        assert numbers == list(range(len(numbers)))
        costly = {t.spec.number for t in self.trials.values() if t.spec.costs_a_trial}
        assert len(costly) <= spec.budget.trials
        live = [t for t in self.trials.values() if not t.finished]
        assert len(live) <= spec.trial.parallelism
        for trial in self.trials.values():
            if trial.finished:
                assert self.finished.setdefault(trial.name, _lasting(trial)) == _lasting(trial)
        if len(numbers) > 2:
            taught = {t.spec.number for t in self.trials.values() if t.status.outcome not in _UNTAUGHT}
            assert taught >= {0, 1}, "the search began before both baselines were in"
        self._look_at_repeats()
        self._look_at_soaks()
        promotion = self.study.status.promotion
        if promotion is not None:
            assert promotion.previous_arguments in ([*PRODUCTION], [*MEDDLED])

    def _look_at_repeats(self) -> None:
        """No more than the study allows, and none before the trials of the search so far are in."""
        confirmations, latest = self.study.spec.promotion.confirmations, latest_attempts(self.trials.values())
        repeats = [t for t in latest if t.spec.is_repeat]
        production = [t for t in repeats if t.spec.purpose is Purpose.PRODUCTION]
        assert len(production) <= baseline_repeats(self.study.spec)
        candidates = Counter(str(t.spec.parameters) for t in repeats if t.spec.purpose is Purpose.CONFIRM)
        assert all(count <= confirmations for count in candidates.values())
        crashed = {str(t.spec.parameters) for t in repeats if t.status.outcome is Outcome.CRASHED}
        assert len(candidates.keys() - crashed) <= MOST_CANDIDATES
        recommendation = self.study.status.recommendation
        if recommendation is not None:
            assert recommendation.confirmations >= min(confirmations, 2)

    def _look_at_soaks(self) -> None:
        """Each configuration at most once, and nothing passes for soaked that was not."""
        seconds, latest = self.study.spec.promotion.soak_seconds, latest_attempts(self.trials.values())
        soaks = [t for t in latest if t.spec.purpose is Purpose.SOAK]
        assert seconds or not soaks
        assert len(soaks) == len({str(t.spec.parameters) for t in soaks}), "soaked twice"
        ends = {str(t.spec.parameters): t.status.outcome for t in soaks}
        recommendation, promotion = self.study.status.recommendation, self.study.status.promotion
        if recommendation is not None and seconds and not recommendation.soaked_seconds:
            assert "did NOT have to outlive" in recommendation.reason
        if recommendation is not None and recommendation.soaked_seconds:
            assert recommendation.soaked_seconds == seconds
            assert ends[str(recommendation.parameters)] is Outcome.FEASIBLE
        if promotion is not None and seconds:
            assert ends[str(promotion.parameters)] is Outcome.FEASIBLE, "promoted without its soak"

    # what people do

    def meddle(self) -> None:
        luck = self.random.random()
        if self.random.random() < 0.1:
            self.room = self.random.choice([AMPLE, Room(1), Room(0, "WaitingForGPUs", "0 are free"), BLIND])
        spec = self.study.spec
        promoting = self.promotion in UNDER_WAY
        if luck < (0.1 if spec.suspend else 0.01):
            self.change(suspend=not spec.suspend)
        elif luck < 0.12 and self.target is GONE:
            self.target = self.found
        elif luck < 0.02 and self.servers:
            self.servers.pop(self.random.choice(list(self.servers)))
        elif luck < 0.025:
            self.target = GONE
        elif luck < (0.05 if promoting else 0.026) and self.target is not GONE:
            self.target = replace(self.target, arguments=self.random.choice([PRODUCTION, MEDDLED]))
        elif luck < (0.08 if promoting else 0.028) and not self.deleted:
            self.deleted = True
            self.delete()
        elif luck < 0.15 and is_stalled(self.study.status):
            retries = (spec.trial.infrastructure_retries or 0) + 3
            trial = spec.trial.model_copy(update={"infrastructure_retries": retries})
            self.change(trial=trial)
        elif luck < 0.2 and spec.promotion.mode.value == "Manual" and self.trials:
            self.change(promotion={"approved_trial": self.random.choice([*self.trials, "s-99-1"])})
        if self.target is not GONE:
            self.found = self.target

    def settled(self) -> bool:
        """Nothing more will come without a person."""
        if self.deleted:
            return not self.finalizer
        return self.phase in SETTLED or (is_stalled(self.study.status) and self.promotion not in UNDER_WAY)


BLIND = Room(1, "NodesForbidden", "free GPUs cannot be seen", blind=True)

MOST_CANDIDATES = 3
"""Contested to the end: then the gate's error is spent."""

_UNTAUGHT = {None, Outcome.INFRASTRUCTURE, Outcome.CANCELLED}


FINISHES = {"schedule": "*/10 * * * *", "durationMinutes": 6}
STOPS = FINISHES | {"onClose": "Stop"}


def _lasting(trial):
    """All of a finished trial but what is counted later: how long a dead operator left its server behind."""
    status = trial.status.model_copy(update={"left_behind_gpu_seconds": 0})
    return trial.model_copy(update={"status": status})


def make_world(
    seed: int, optimizer: str = "random", trials: tuple[int, int] = (8, 18), *, soaked: bool = False
) -> Hazards:
    """`soaked`: with minutes enough for every winner's soak."""
    random = Random(seed)
    study = make_study(
        optimizer={"name": optimizer},
        budget={
            "trials": random.randint(*trials),
            "gpuMinutes": random.choice([1000] if soaked else [3, 10, 1000]),
            "wallClockMinutes": random.choice([1440] if soaked else [4, 20, 1440]),
        },
        windows=random.choice([[], [], [FINISHES], [STOPS]]),
        trial={"parallelism": random.choice([1, 1, 2, 4])},
        promotion={
            "mode": random.choice(["Off", "Manual", "Automatic", "Automatic"]),
            "confirmations": random.randint(0, 1 if soaked else 3),
            "minimumImprovementPercent": random.choice([0, 5]),
            "soakSeconds": random.choice([10, 60] if soaked else [0, 10, 60]),
        },
    )
    metadata = study.metadata.model_copy(update={"uid": str(seed)})
    world = Hazards(study.model_copy(update={"metadata": metadata}), random=random, storms=random.random() < 0.1)
    if random.random() < 0.5:
        world.target = world.found = replace(world.target, replicas=2, declared=DeclaredPace(PACE))
    return world


def live(world: Hazards) -> None:
    """A stormy hour, then calm until the study settles."""
    for _ in range(world.random.randint(10, 150)):
        world.turn()
        world.now += timedelta(seconds=world.random.choice([0, 1, 5, 15, 40]))
        world.work()
        world.meddle()
    world.calm = True
    world.room = AMPLE
    if world.study.spec.suspend and world.random.random() < 0.8:
        world.change(suspend=False)
    world.target = world.found if world.target is GONE else world.target
    for _ in range(600):
        world.turn()
        world.now += timedelta(seconds=30)
        world.work()
        if world.settled() and not world.servers and not world.loads:
            break
