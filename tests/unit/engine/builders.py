"""Studies, trials and observations in a line each, and a store in which a plan comes true."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sloguard.api.v1alpha1 import (
    LoadResult,
    Metric,
    ObjectMeta,
    Outcome,
    PromotionState,
    Purpose,
    RateMeasurement,
    ServerFault,
    ServerFaultKind,
    SLOResult,
    Study,
    StudyPhase,
    Trial,
    TrialPhase,
    TrialSpec,
    TrialStatus,
)
from sloguard.domain.evidence import Evidence
from sloguard.engine.actions import (
    ApplyArguments,
    GivePaceBack,
    Plan,
    RecordTrial,
    SetPace,
    StartGitJob,
    StartLoad,
    StartServer,
    StopTrial,
    UpdateTrial,
)
from sloguard.engine.plan import plan
from sloguard.engine.room import AMPLE, Room
from sloguard.engine.snapshot import (
    GitJobEnd,
    GitJobState,
    Load,
    LoadState,
    Observation,
    Pace,
    Rollout,
    SeenGitJob,
    Server,
    ServerState,
    Snapshot,
    TargetProblem,
    TargetState,
)
from tests.short_study import laid_over, short_spec

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PRODUCTION = ("model", "--max-num-seqs=2", "--port=8000")

SPEC = short_spec(
    workload={"drainSeconds": 5},
    searchSpace={"parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 256, "scale": "Log"}}]},
    trial={"startupTimeoutSeconds": 100, "infrastructureRetries": 2, "infrastructurePatienceSeconds": 60},
    promotion={"mode": "Off", "verification": {"durationSeconds": 60}},
)


def make_study(name="s", **spec):
    """`trial={"parallelism": 2}` and the like are laid over SPEC, one level deep."""
    return Study(metadata=ObjectMeta(name=name, uid="uid", generation=1), spec=laid_over(SPEC, spec))


def rate(goodput=100.0, met=True, percent=100, sent=200):
    """Ten seconds at one rate. Of 200 requests half never came back, so that more could have been served."""
    slo = SLOResult(
        metric=Metric.TTFT,
        percentile=99,
        limit_milliseconds=500,
        measured_microseconds=100_000 if met else 900_000,
        met=met,
    )
    return RateMeasurement(
        rate_percent=percent,
        requests_per_minute=6 * percent,
        duration_milliseconds=10_000,
        sent=sent,
        completed=100,
        good=100 if met else 50,
        prompt_tokens=1,
        output_tokens=1,
        good_tokens=round(goodput * 10),
        slos=[slo],
    )


def result(*rates, fault_at=None, invalid=None):
    fault = fault_at and ServerFault(kind=ServerFaultKind.SERVER_GONE, at=fault_at, detail="connection refused")
    rates = [rate(r) if isinstance(r, int | float) else r for r in rates]
    return LoadResult(started_at=T0, finished_at=T0, rates=rates, fault=fault, invalid=invalid)


def make_trial(number=0, outcome=None, rates=(), *, attempt=1, purpose=None, parameters=None, study="s", **status):
    """Finished where it has an outcome, else as `phase` says."""
    usual = {0: Purpose.PRODUCTION, 1: Purpose.DEFAULT}.get(number, Purpose.SEARCH)
    measured = [rate(r) if isinstance(r, int | float) else r for r in rates]
    if outcome is not None:
        status = {
            "phase": TrialPhase.FINISHED,
            "started_at": T0,
            "finished_at": T0 + timedelta(seconds=30),
            "gpu_seconds": 30,
            "message": "as it went",
        } | status
    if parameters is None:
        parameters = {0: {"max_num_seqs": "2"}, 1: {}}.get(number, {"max_num_seqs": str(10 + number)})
    if outcome is not None or status.get("phase") not in {None, TrialPhase.PENDING}:
        own = [f"--max-num-seqs={v}" for v in parameters.values()]
        given = list(PRODUCTION) if number == 0 else ["model", *own, "--port=8000"]
        status = {"arguments": given} | status
    return Trial(
        metadata=ObjectMeta(name=f"{study}-{number}-{attempt}", uid=f"u{number}-{attempt}"),
        spec=TrialSpec(
            study=study, number=number, attempt=attempt, purpose=purpose or usual, parameters=parameters, reason="why."
        ),
        status=TrialStatus(outcome=outcome, measurements=measured, **status),
    )


def feasible(number, goodput, **more):
    return make_trial(number, Outcome.FEASIBLE, [goodput], **more)


def baselines(production=100, default=50):
    return feasible(0, production), feasible(1, default)


def snapshot(study, *trials, target=None, seen=None):
    return Snapshot(study, trials, target or TargetState(PRODUCTION), seen or {})


def seen(state, *, since=T0, load=LoadState.ABSENT, loaded=None, detail="", **evidence):
    server = Server(state, Evidence(**evidence) if evidence else None, running_since=since)
    return Observation(server, Load(load, loaded, detail), leftovers=True)


def grows(trial):
    """Goodput is the number of sequences; the defaults have 32."""
    return float(trial.spec.parameters.get("max_num_seqs", 32))


def cut_short(reached):
    """Worlds in which an operator died after each of its next writes; `reached` makes a new one up to there."""
    world = reached()
    for kept in range(len(world.writes(plan(world.gather(), world.now)))):
        world = reached()
        for _, write in world.writes(plan(world.gather(), world.now))[:kept]:
            write()
        yield world


def actions(planned, kind):
    return [a for a in planned.actions if isinstance(a, kind)]


def recorded(planned):
    """The one trial that a plan records."""
    (action,) = actions(planned, RecordTrial)
    return action


def condition(status, kind):
    return next((c for c in status.conditions if c.type == kind), None)


def is_stalled(status):
    found = condition(status, "Stalled")
    return found is not None and found.status.value == "True"


FINALIZER, EVENTS, FIRST, STATUS = "finalizer", "events", "what the trial follows from", "status"
SETTLED = {StudyPhase.COMPLETED, StudyPhase.FAILED, StudyPhase.AWAITING_APPROVAL, StudyPhase.SUSPENDED}


@dataclass
class World:
    """A store, production and a clock. `serve` says what a server with these parameters does: tokens/s or a crash."""

    study: Study
    serve: object = field(default=lambda _: 100.0)
    now: datetime = T0
    target: TargetState | TargetProblem = field(default_factory=lambda: TargetState(PRODUCTION))
    trials: dict = field(default_factory=dict)
    servers: dict = field(default_factory=dict)
    loads: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)
    finalizer: bool = False
    applied: list = field(default_factory=list)
    git_jobs: dict = field(default_factory=dict)
    git: object = field(default=lambda _: PROPOSED)
    """What a Job (StartGitJob) comes to, or None while it goes on."""

    room: Room | None = AMPLE
    undisturbed: str = ""

    def gather(self) -> Snapshot:
        names = {n for n, t in self.trials.items() if not t.finished} | set(self.servers) | set(self.loads)
        return Snapshot(
            self.study,
            tuple(self.trials.values()),
            self.target,
            {n: self._seen(n) for n in names},
            room=self.room,
            undisturbed=self.undisturbed,
            git_job=self._git_job(),
        )

    def _git_job(self) -> SeenGitJob:
        promotion = self.study.status.promotion
        job = promotion.git.job if promotion and promotion.git else None
        started = self.git_jobs.get(job.number) if job and job.ended_at is None else None
        if started is None:
            return SeenGitJob()
        end = self.git(started)
        return SeenGitJob(GitJobState.RUNNING) if end is None else SeenGitJob(GitJobState.ENDED, end)

    def _seen(self, name) -> Observation:
        there = name in self.servers or name in self.loads
        server = self.servers.get(name, Server())
        return Observation(server, self.loads.get(name, Load()), leftovers=there)

    def step(self, seconds=1.0) -> Plan:
        """Plan and do all of it; then time passes."""
        planned = plan(self.gather(), self.now)
        for _, write in self.writes(planned):
            write()
        self.now += timedelta(seconds=seconds)
        return planned

    def writes(self, planned: Plan) -> list:
        """What the plan writes, and how, in the order of cluster/execute.py: an action's name is the action itself."""
        first = [(FIRST, lambda: self._write(planned))] if planned.status_first else []
        return [
            (FINALIZER, lambda: self._set_finalizer(self.finalizer or planned.owes_production)),
            (EVENTS, lambda: self.events.update({e.key: e for e in planned.events})),
            *first,
            *((action, lambda action=action: self._act(action)) for action in planned.actions),
            (STATUS, lambda: self._write(planned)),
            (FINALIZER, lambda: self._set_finalizer(self.finalizer and planned.owes_production)),
        ]

    def _set_finalizer(self, wanted: bool) -> None:
        self.finalizer = wanted

    def _write(self, planned: Plan) -> None:
        self.study = self.study.model_copy(update={"status": planned.status})

    def _act(self, action) -> None:
        match action:
            case RecordTrial(name, spec):
                self.trials.setdefault(name, Trial(metadata=ObjectMeta(name=name, uid=name), spec=spec))
            case UpdateTrial(trial, status):
                self.trials[trial.name] = self.trials[trial.name].model_copy(update={"status": status})
            case StartServer(trial, _):
                self.servers.setdefault(trial.name, Server(ServerState.WAITING))
            case StartLoad(trial):
                self.loads.setdefault(trial.name, Load(LoadState.RUNNING))
            case StopTrial(trial):
                self.servers.pop(trial.name, None)
                self.loads.pop(trial.name, None)
            case ApplyArguments(arguments):
                self.applied.append(arguments)
                self.target = replace(self.target, arguments=arguments)
            case StartGitJob(number):
                self.git_jobs.setdefault(number, action)
            case SetPace(pace):
                self._exchange(pace, Pace(surge=0, unavailable=1))
            case GivePaceBack(previous):
                self._exchange(previous.pace, Pace())

    def _exchange(self, declared, pace) -> None:
        """Production's pods, at this pace from now on."""
        assert self.target.declared is not None
        self.target = replace(self.target, declared=replace(self.target.declared, pace=declared), pace=pace)

    def work(self) -> None:
        """Servers start and loads end, at once."""
        for name, server in list(self.servers.items()):
            trial = self.trials[name]
            outcome = self.serve(trial)
            if server.state is ServerState.WAITING:
                self.servers[name] = self._started(outcome)
            elif name in self.loads and isinstance(outcome, int | float):
                self.loads[name] = Load(LoadState.DONE, result(outcome))

    def _started(self, outcome) -> Server:
        if outcome is PULL:
            return Server(ServerState.WAITING, PULL)
        if isinstance(outcome, Evidence):
            return Server(ServerState.ENDED, outcome, running_since=self.now)
        return Server(ServerState.READY, running_since=self.now)

    def run(self, most=400) -> Plan:
        """Until nothing changes any more."""
        for _ in range(most):
            self.step(5.0)
            self.work()
            after = plan(self.gather(), self.now)
            settled = self.phase in SETTLED or is_stalled(self.study.status)
            if settled and not after.actions and after.status == self.study.status and not self.servers:
                return after
        raise AssertionError(f"still at it: {self.study.status.phase}, {condition(self.study.status, 'Reconciling')}")

    def run_to_promotion(self) -> "World":
        """Up to the moment at which one is recorded."""
        for _ in range(60):
            self.step()
            self.work()
            if self.promotion is not None:
                return self
        raise AssertionError("no promotion")

    def change(self, **spec) -> None:
        """A person edits the specification: `promotion={...}` one level deep."""
        old = self.study.spec
        changed = {
            k: type(getattr(old, k))(**{**dict(getattr(old, k)), **v}) if isinstance(v, dict) else v
            for k, v in spec.items()
        }
        metadata = self.study.metadata.model_copy(update={"generation": self.study.metadata.generation + 1})
        self.study = self.study.model_copy(update={"spec": old.model_copy(update=changed), "metadata": metadata})

    def delete(self) -> None:
        metadata = self.study.metadata.model_copy(update={"deletion_timestamp": self.now})
        self.study = self.study.model_copy(update={"metadata": metadata})

    @property
    def phase(self):
        return self.study.status.phase

    @property
    def promotion(self) -> PromotionState | None:
        return self.study.status.promotion and self.study.status.promotion.state

    def latest(self) -> list[Trial]:
        return sorted(self.trials.values(), key=lambda t: (t.spec.number, t.spec.attempt))


OOM = Evidence(log="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", ended=True, exit_code=1)
PULL = Evidence(waiting_reason="ImagePullBackOff", waiting_message="no such image")
PROPOSED = GitJobEnd(
    succeeded=True,
    reason="Proposed",
    branch="sloguard/n/s",
    commit="c0ffee",
    pull_request="https://git.example.com/team/apps/pulls/7",
)
COMMITTED = GitJobEnd(succeeded=True, reason="Committed", on_base=True, branch="main", commit="c0ffee")
FAILED_ROLLOUT = Rollout(complete=False, failure="pod llama-1 did not stay up: Error, exit code 1")
