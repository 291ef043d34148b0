"""Gathers and executes on this machine: servers and loads are child processes."""

import asyncio
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from pydantic import ValidationError

from sloguard.api.v1alpha1 import LoadResult, ObjectMeta, Trial
from sloguard.domain.arguments import option, split_command
from sloguard.domain.evidence import Evidence
from sloguard.domain.margins import margins_from_log
from sloguard.engine.actions import ApplyArguments, Plan, RecordTrial, StartLoad, StartServer, StopTrial, UpdateTrial
from sloguard.engine.snapshot import (
    Load,
    LoadState,
    Observation,
    Server,
    ServerState,
    Snapshot,
    TargetState,
)
from sloguard.local.process import Child, free_port, start
from sloguard.local.records import RunDirectory
from sloguard.measure.request import LoadRequest

HEALTH_SECONDS = 2.0
MOST_LOG_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Running:
    """What runs for one trial."""

    port: int
    server: Child
    ready: bool = False
    load: Child | None = None


@dataclass(slots=True)
class LocalSubstrate:
    """One machine. Keep it for one run; `stop` ends whatever still runs."""

    run: RunDirectory
    session: aiohttp.ClientSession
    running: dict[str, Running] = field(default_factory=dict[str, Running])

    async def gather(self) -> Snapshot:
        trials = tuple(self.run.trials.values())
        seen = {t.name: await self._observe(t) for t in trials if not t.finished or t.name in self.running}
        return Snapshot(self.run.study, trials, self._target(), seen)

    async def execute(self, plan: Plan) -> None:
        for action in plan.actions:
            match action:
                case RecordTrial(name, spec):
                    uid = f"{self.run.study.metadata.uid}/{name}"
                    self.run.write_trial(Trial(metadata=ObjectMeta(name=name, uid=uid), spec=spec))
                case UpdateTrial(trial, status):
                    self.run.write_trial(trial.model_copy(update={"status": status}))
                case StartServer(trial, arguments):
                    await self._start_server(trial, arguments)
                case StartLoad(trial):
                    await self._start_load(trial)
                case StopTrial(trial):
                    await self._stop(trial.name)
                case ApplyArguments():
                    raise AssertionError("a local study promotes nothing")
        self.run.write_status(plan.status)

    async def stop(self) -> None:
        for name in list(self.running):
            await self._stop(name)

    def _target(self) -> TargetState:
        prefix_and_arguments = split_command(self.run.study.spec.target.command or [])
        arguments = tuple(prefix_and_arguments[1])
        return TargetState(arguments=arguments, gpus=gpus_of(arguments))

    async def _observe(self, trial: Trial) -> Observation:
        running = self.running.get(trial.name)
        if running is None:
            return Observation()
        server = await self._observe_server(trial, running)
        return Observation(server, self._observe_load(trial, running), leftovers=True)

    async def _observe_server(self, trial: Trial, running: Running) -> Server:
        since = running.server.started_at
        ended = running.server.ended
        if ended is not None:
            return Server(ServerState.ENDED, self._evidence(trial, running, ended), since)
        if not running.ready and not await self._healthy(running.port):
            return Server(ServerState.STARTING, running_since=since)
        first = not running.ready
        running.ready = True
        margins = margins_from_log(_read(self.run.log(trial))) if first else None
        return Server(ServerState.READY, running_since=since, margins=margins)

    def _evidence(self, trial: Trial, running: Running, ended: int) -> Evidence:
        return Evidence(
            log=_read(self.run.log(trial)),
            exit_code=ended if ended >= 0 else None,
            signal=-ended if ended < 0 else None,
            became_ready=running.ready,
            ended=True,
        )

    def _observe_load(self, trial: Trial, running: Running) -> Load:
        if running.load is None:
            return Load()
        if running.load.ended is None:
            return Load(LoadState.RUNNING)
        try:
            result = LoadResult.model_validate_json(self.run.load_result(trial).read_bytes())
        except (OSError, ValidationError) as error:
            return Load(LoadState.FAILED, detail=f"exit code {running.load.ended}, no result: {error}")
        return Load(LoadState.DONE, result)

    async def _healthy(self, port: int) -> bool:
        timeout = aiohttp.ClientTimeout(total=HEALTH_SECONDS)
        try:
            async with self.session.get(f"http://127.0.0.1:{port}/health", timeout=timeout) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _start_server(self, trial: Trial, arguments: tuple[str, ...]) -> None:
        if trial.name in self.running:
            return
        prefix, _ = split_command(self.run.study.spec.target.command or [])
        port = free_port()
        command = [*prefix, *arguments, "--host", "127.0.0.1", "--port", str(port)]
        child = await start(command, self.run.log(trial))
        self.running[trial.name] = Running(port, child)

    async def _start_load(self, trial: Trial) -> None:
        running = self.running.get(trial.name)
        if running is None or running.load is not None:
            return
        spec = self.run.study.spec
        request = LoadRequest(url=f"http://127.0.0.1:{running.port}", workload=spec.workload, slos=spec.slos)
        self.run.load_request(trial).write_text(request.model_dump_json(by_alias=True, exclude_none=True))
        command = [sys.executable, "-m", "sloguard", "load"]
        command += ["--request", str(self.run.load_request(trial)), "--output", str(self.run.load_result(trial))]
        running.load = await start(command, self.run.path / "loads" / f"{trial.name}.log")

    async def _stop(self, name: str) -> None:
        running = self.running.pop(name, None)
        if running is None:
            return
        children = [child for child in (running.load, running.server) if child is not None]
        await asyncio.gather(*(child.stop() for child in children))


def gpus_of(arguments: tuple[str, ...]) -> int:
    """How many GPUs a server with these arguments occupies."""
    sizes = (option(arguments, name) for name in ("tensor-parallel-size", "pipeline-parallel-size"))
    product = 1
    for size in sizes:
        product *= int(size) if size is not None and size.isdecimal() else 1
    return product


def command_problem(command: list[str]) -> str | None:
    """Why the target's command cannot run here, before anything is started."""
    if shutil.which(command[0]) is None:
        return f"spec.target.command: {command[0]} is not a program on this machine; install it or give its whole path"
    return None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_LOG_BYTES).decode(errors="replace")
    except OSError:
        return ""
