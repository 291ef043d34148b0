"""Strategy Canary: one more pod in production's traffic decides whether production is changed at all."""

from dataclasses import dataclass, field, replace

import pytest

from sloguard.api.v1alpha1 import (
    Fault,
    Metric,
    Outcome,
    PromotionState,
    Purpose,
    RateMeasurement,
    ServedTraffic,
    StudyPhase,
)
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import Load, LoadState, Rollout, ServerState, Traffic
from tests.unit.engine.builders import (
    OOM,
    PRODUCTION,
    PULL,
    World,
    condition,
    cut_short,
    grows,
    make_study,
    rate,
    result,
)
from tests.unit.engine.test_promotion import NEW, OTHER
from tests.unit.engine.test_verification import window

S = PromotionState
CANARY = {"mode": "Automatic", "strategy": "Canary", "verification": {"durationSeconds": 60}}
STUDY = make_study(promotion=CANARY, slos=[{"metric": "TTFT", "percentile": 99, "milliseconds": 500}])
GOOD, BAD = window(995), window(900)


def as_measured(traffic: ServedTraffic) -> RateMeasurement:
    return rate().model_copy(
        update={
            "sent": traffic.requests,
            "completed": traffic.requests,
            "requests_per_minute": 100,
            "slos": traffic.slos,
        }
    )


@dataclass
class Live(World):
    """`canary` is what a canary's traffic says, or how it ends; `beside` production's. `traffic`: with a Prometheus."""

    canary: object = GOOD
    beside: ServedTraffic | None = GOOD
    traffic: Traffic | None = field(default_factory=lambda: Traffic(GOOD, GOOD))

    def gather(self):
        return replace(super().gather(), traffic=self.traffic)

    def work(self) -> None:
        for name, server in list(self.servers.items()):
            if self.trials[name].spec.purpose is Purpose.CANARY:
                self._work(name, server)
        ours = {n: s for n, s in self.servers.items() if self.trials[n].spec.purpose is Purpose.CANARY}
        self.servers = {n: s for n, s in self.servers.items() if n not in ours}
        super().work()
        self.servers |= ours

    def _work(self, name, server) -> None:
        if server.state is ServerState.WAITING:
            self.servers[name] = self._started(self.canary)
        elif isinstance(self.canary, ServedTraffic):
            self.loads[name] = Load(LoadState.DONE, result(as_measured(self.canary)), beside=self.beside)
        elif isinstance(self.canary, str):
            self.loads[name] = Load(LoadState.DONE, result(invalid=self.canary))

    @property
    def canaries(self):
        return [t for t in self.latest() if t.spec.purpose is Purpose.CANARY]


def a_world(**fields):
    return Live(STUDY, grows, **fields)


def until(world, state, most=400):
    """With each state that was seen on the way."""
    states = []
    for _ in range(most):
        if world.promotion is not None and (not states or states[-1] is not world.promotion):
            states.append(world.promotion)
        if world.promotion is state:
            return states
        world.step(5)
        world.work()
    raise AssertionError(f"never {state}: {states}, {condition(world.study.status, 'Reconciling')}")


def test_production_is_changed_once_the_canary_has_passed():
    world = a_world()
    until(world, S.ANALYSING)
    assert not world.applied
    assert world.study.status.promotion.previous_arguments == list(PRODUCTION)
    states = until(world, S.PROMOTED)
    assert states == [S.ANALYSING, S.PROMOTING, S.VERIFYING, S.PROMOTED]
    assert world.applied == [NEW]
    (canary,) = world.canaries
    assert canary.status.outcome is Outcome.FEASIBLE
    assert canary.status.arguments == list(NEW)
    assert canary.status.message.startswith("the canary: 1000 requests")
    assert world.study.status.promotion.message.endswith("99.5 % of 1000")
    assert not world.servers


def test_a_canary_is_none_of_the_budgets_trials():
    world = a_world()
    until(world, S.PROMOTED)
    assert world.study.status.trials.total == len(world.trials) - 1
    assert world.study.status.recommendation.trial not in {t.name for t in world.canaries}


@pytest.mark.parametrize(
    ("canary", "outcome", "said"),
    [(BAD, Outcome.INFEASIBLE, "worse than production"), (OOM, Outcome.CRASHED, "CUDAOutOfMemory")],
)
def test_a_canary_that_fails_leaves_production_as_it_is(canary, outcome, said):
    world = a_world(canary=canary)
    until(world, S.ROLLED_BACK)
    world.run()
    assert not world.applied
    assert not world.servers
    assert world.phase is StudyPhase.FAILED
    assert [t.status.outcome for t in world.canaries] == [outcome]
    message = condition(world.study.status, "Stalled").message
    assert said in message
    assert "Production was not changed" in message
    assert not world.finalizer


@pytest.mark.parametrize("canary", [PULL, "no requests came"])
def test_a_canary_that_cannot_be_judged_is_a_persons_business(canary):
    world = a_world(canary=canary)
    until(world, S.HALTED, most=2000)
    assert len(world.canaries) == 3
    assert not world.applied
    assert "no canary could be judged in 3 attempts" in world.study.status.promotion.message
    world.run()
    assert not world.servers


def test_suspension_takes_its_gpu_and_it_is_made_again_afterwards():
    world = a_world()
    until(world, S.CANARY)
    world.change(suspend=True)
    world.step()
    assert not world.servers
    assert world.canaries[-1].status.outcome is Outcome.CANCELLED
    world.step()
    assert world.phase is StudyPhase.SUSPENDED
    world.change(suspend=False)
    until(world, S.PROMOTED)
    assert [t.status.outcome for t in world.canaries] == [Outcome.CANCELLED, Outcome.FEASIBLE]


@pytest.mark.parametrize("state", [S.CANARY, S.ANALYSING])
def test_production_that_somebody_else_changed_is_left_alone_and_the_canary_goes(state):
    world = a_world()
    until(world, state)
    world.target = replace(world.target, arguments=OTHER)
    world.run()
    assert world.promotion is S.HALTED
    assert not world.applied
    assert not world.servers


def test_without_prometheus_nothing_is_begun():
    world = a_world(traffic=None)
    world.run()
    assert condition(world.study.status, "Stalled").reason == "NoPrometheus"
    assert world.promotion is None


@pytest.mark.parametrize("state", [S.PLANNED, S.CANARY, S.ANALYSING])
def test_every_state_can_be_cut_short_after_any_write_and_done_again(state):
    def reached():
        world = a_world()
        until(world, state)
        return world

    for world in cut_short(reached):
        until(world, S.PROMOTED)
        assert len(world.canaries) == 1
        assert world.applied == [NEW]
        assert not world.finalizer


def test_a_study_deleted_meanwhile_takes_its_canary_along():
    world = a_world()
    until(world, S.ANALYSING)
    world.delete()
    world.step()
    assert not world.servers
    assert not world.applied
    assert not world.finalizer


# What fails in production itself


def test_traffic_that_is_worse_than_before_takes_production_back_and_is_remembered():
    world = a_world()
    until(world, S.VERIFYING)
    world.traffic = Traffic(GOOD, BAD)
    until(world, S.ROLLED_BACK)
    world.run()
    assert world.applied == [NEW, PRODUCTION]
    assert "production served worse than before: TTFT within 500 ms" in condition(world.study.status, "Stalled").message
    assert [t.status.outcome for t in world.canaries] == [Outcome.FEASIBLE, Outcome.INFEASIBLE]
    assert not world.servers, "nothing is started for what is only recorded"


@pytest.mark.parametrize("kept", range(8))
def test_a_crash_in_production_is_recorded_once_whenever_the_operator_dies(kept):
    world = a_world()
    until(world, S.VERIFYING)
    died = replace(OOM, became_ready=True)
    world.target = replace(world.target, rollout=Rollout(False, "pod llama-1 did not stay up", evidence=died))
    world.step()
    assert world.promotion is S.ROLLING_BACK
    world.target = replace(world.target, rollout=Rollout())
    for _, write in world.writes(plan(world.gather(), world.now))[:kept]:
        write()
    world.run()
    crashed = [t for t in world.canaries if t.status.outcome is Outcome.CRASHED]
    assert len(crashed) == 1
    assert crashed[0].status.crash.fault is Fault.CONFIGURATION
    assert crashed[0].spec.parameters == {"max_num_seqs": "112"}
    assert world.target.arguments == PRODUCTION


def test_what_may_be_the_only_healthy_copy_is_not_taken_away():
    world = a_world()
    until(world, S.ANALYSING)
    promotion = world.study.status.promotion.model_copy(update={"previous_ready": False})
    world.study = world.study.model_copy(
        update={"status": world.study.status.model_copy(update={"promotion": promotion})}
    )
    until(world, S.VERIFYING)
    world.traffic = Traffic(GOOD, BAD)
    world.target = replace(world.target, rollout=Rollout(ready=1))
    until(world, S.HALTED)
    assert world.applied == [NEW]
    assert "the only healthy copy" in world.study.status.promotion.message
    assert Metric.TTFT.value in world.study.status.promotion.message
