"""Gathers and executes on this machine: servers and loads are child processes."""

import asyncio
import socket
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import aiohttp

from sloguard.api.v1alpha1 import ObjectMeta, Trial
from sloguard.domain.arguments import split_command
from sloguard.domain.evidence import Evidence
from sloguard.domain.ledger import EMPTY, Ledger
from sloguard.domain.margins import margins_from_log
from sloguard.engine.actions import (
    ApplyArguments,
    EndPod,
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
from sloguard.engine.load_parts import load_of_parts
from sloguard.engine.load_request import generators_of, load_request_of
from sloguard.engine.progress import is_late
from sloguard.engine.snapshot import (
    Load,
    LoadState,
    Observation,
    Server,
    ServerState,
    Snapshot,
    TargetState,
)
from sloguard.local.command_line import child_environment, gpus_of, serving_at
from sloguard.local.directory import RunDirectory
from sloguard.local.errors import CommandError
from sloguard.local.memory_watch import MemoryWatch
from sloguard.local.nvml import environment_of
from sloguard.local.own_files import reading_own_files
from sloguard.local.process import Child, Family
from sloguard.local.readiness import until_ready
from sloguard.local.server_log import read_log
from sloguard.measure.encode import UnreadableResultError, decode

START_LEAD = timedelta(seconds=10)
"""From their start as processes until several generators begin."""


class Part(NamedTuple):
    """What one generator leaves."""

    result: Path
    log: Path


@dataclass(slots=True)
class Running:
    """What runs for one trial."""

    url: str
    server: Child
    readiness: "asyncio.Task[None]"
    gpus: int
    loads: list[Child] = field(default_factory=list[Child])
    memory: MemoryWatch | None = None

    @property
    def ready(self) -> bool:
        return self.readiness.done() and self.readiness.result() is None


@dataclass(slots=True)
class LocalSubstrate:
    """One machine. `stop` ends whatever still runs; `hurry` does not let anything take its time."""

    directory: RunDirectory
    session: aiohttp.ClientSession
    family: Family
    hurry: asyncio.Event
    ledger: Ledger = EMPTY
    running: dict[str, Running] = field(default_factory=dict[str, Running])

    def gather(self) -> Snapshot:
        run = self.directory.run
        trials = tuple(run.trials.values())
        seen = {name: self._observe(run.trials[name], running) for name, running in self.running.items()}
        _, arguments = split_command(run.study.spec.target.command or [])
        return Snapshot(run.study, trials, TargetState(arguments=tuple(arguments)), seen, self.ledger)

    async def execute(self, plan: Plan) -> None:
        for action in plan.actions:
            match action:
                case RecordTrial(name, spec):
                    uid = f"{self.directory.run.study.metadata.uid}/{name}"
                    self.directory.write_trial(Trial(metadata=ObjectMeta(name=name, uid=uid), spec=spec))
                case UpdateTrial(trial, status):
                    self.directory.write_trial(trial.model_copy(update={"status": status}))
                case StartServer(trial, arguments):
                    await self._start_server(trial.name, arguments)
                case StartLoad(trial):
                    await self._start_load(trial.name)
                case StopTrial(trial):
                    await self._stop(trial.name)
                case ApplyArguments() | SetPace() | GivePaceBack() | EndPod() | StartGitJob():
                    raise AssertionError("a local study promotes nothing")
        self.directory.write_status(plan.status)

    async def stop(self) -> None:
        for name in list(self.running):
            await self._stop(name)

    def _observe(self, trial: Trial, running: Running) -> Observation:
        return Observation(self._observe_server(trial, running), self._observe_load(trial, running), leftovers=True)

    def _observe_server(self, trial: Trial, running: Running) -> Server:
        """The log is read only where it is judged: at an end, at readiness, and when the start takes too long."""
        since = running.server.started_at
        ended, ready = running.server.ended is not None, running.ready
        state = ServerState.ENDED if ended else ServerState.READY if ready else ServerState.STARTING
        first = ready and trial.status.ready_at is None
        late = is_late(trial, self.directory.run.study.spec, state, since, datetime.now(UTC))
        faulty = any(load.ended is not None for load in running.loads)
        log = read_log(self.directory.log(trial.name)) if ended or first or late or faulty else ""
        return Server(
            state,
            evidence=_evidence(running, log) if log or ended else None,
            running_since=since,
            margins=margins_from_log(log) if first else None,
            memory=None if running.memory is None else running.memory.least,
            gpus=running.gpus,
        )

    def _observe_load(self, trial: Trial, running: Running) -> Load:
        if not running.loads:
            return Load()
        ended = [(number, load.ended) for number, load in enumerate(running.loads) if load.ended is not None]
        parts = [self._observe_part(self._part(trial.name, number), code) for number, code in ended]
        return load_of_parts(parts, generators_of(self.directory.run.study, trial.spec))

    def _observe_part(self, part: Part, exit_code: int) -> Load:
        try:
            return Load(LoadState.DONE, decode(part.result.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, UnreadableResultError):
            said = read_log(part.log).strip().rpartition("\n")[2]
            detail = f"the load ended with exit code {exit_code} and no result: {said or 'it said nothing'}"
            return Load(LoadState.FAILED, detail=detail)

    async def _start_server(self, name: str, arguments: tuple[str, ...]) -> None:
        if name in self.running:
            return
        command = self.directory.run.study.spec.target.command or []
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        line = serving_at(command, arguments, port)
        server = await self.family.start(line, self.directory.fresh(self.directory.log(name)), child_environment())
        readiness = asyncio.create_task(until_ready(self.session, url))
        self.running[name] = Running(url, server, readiness, gpus_of(arguments))

    async def _start_load(self, name: str) -> None:
        running = self.running.get(name)
        if running is None or running.loads:
            return
        environment = environment_of(running.server.process.pid, otherwise=child_environment())
        running.memory = MemoryWatch(environment, running.gpus)
        run = self.directory.run
        request = self.directory.load_file(name, "request.json")
        workload = reading_own_files(run.study.spec.workload, self.directory.path)
        starts_at = datetime.now(UTC) + START_LEAD
        what = load_request_of(run.study, run.trials[name], running.url, starts_at)
        what = what.model_copy(update={"workload": workload})
        self.directory.write_file(request, what.model_dump_json(by_alias=True, exclude_none=True))
        generators = generators_of(run.study, run.trials[name].spec)
        for number in range(generators):
            part = self._part(name, number)
            command = [sys.executable, "-P", "-m", "sloguard", "load"]
            command += ["--request", str(request), "--output", str(part.result)]
            command += ["--generator", str(number)] if generators > 1 else []
            running.loads.append(await self.family.start(command, self.directory.fresh(part.log), child_environment()))

    def _part(self, name: str, number: int) -> Part:
        """The files of one of the load's generators."""
        run = self.directory.run
        of = f"{number}." if generators_of(run.study, run.trials[name].spec) > 1 else ""
        return Part(*(self.directory.load_file(name, f"{of}{what}") for what in ("result.json", "log")))

    async def _stop(self, name: str) -> None:
        running = self.running.pop(name, None)
        if running is None:
            return
        running.readiness.cancel()
        if running.memory is not None:
            running.memory.end()
        for load in running.loads:
            await load.stop(self.hurry)
        await running.server.stop(self.hurry)


def _evidence(running: Running, log: str) -> Evidence:
    ended = running.server.ended
    return Evidence(
        log=log,
        exit_code=ended if ended is not None and ended >= 0 else None,
        signal=-ended if ended is not None and ended < 0 else None,
        became_ready=running.ready,
        ended=ended is not None,
    )


def free_port() -> int:
    """A port of the loopback address that nothing listens on now.

    Somebody may still take it before the server does: the server then says so, and the trial is made again.
    """
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            raise CommandError(f"no port of 127.0.0.1 is free for the server: {error.strerror}") from error
        return probe.getsockname()[1]
