"""The tiers, in the order in which they run, and how their results become one line and one exit status."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.apiserver.operator import gitops_agent
from tests.clusters import binaries, engine, faketime, kind, prometheus, vllm_cpu
from tests.clusters.debian_package import NoPackageError
from tests.driver import beside, environment, prerequisites
from tests.driver.environment import ROOT
from tests.driver.result import Result
from tests.gitserver import gitea

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Tier:
    """Folders of tests that need the same things. A folder that does not exist or is empty is left out."""

    folders: tuple[str, ...]
    prepare: Callable[[list[str]], None] = field(default=lambda _options: None)
    checks: tuple[tuple[str, ...], ...] = ()
    options: tuple[str, ...] = ()
    second_try: bool = False
    """With CI=true what fails runs once more, and is told of when it passes then: real programs share one machine here,
    and each of many minutes. With more than a few files of tests that fail, it is not chance.
    """

    starts_docker: Callable[[list[str]], bool] = field(default=lambda _options: False)
    """Whether a Docker daemon is kept for as long as it runs: its workers share it, each with a cluster of its own."""


MOST_UNSTEADY_FILES = 3


def _prepare_apiserver(_options: list[str]) -> None:
    prerequisites.require(prerequisites.API_SERVER)
    _require_programs(binaries.CONTROL_PLANE)
    if not gitops_agent.program().exists():
        prerequisites.require_go()
    _require_packages()
    binaries.ensure(binaries.CONTROL_PLANE)
    gitops_agent.ensure()


def _prepare_git(_options: list[str]) -> None:
    prerequisites.require(prerequisites.GIT_SERVERS)
    if not gitea.folder().exists():
        prerequisites.require_go()
        prerequisites.require({"gcc": "build-essential"})
    gitea.ensure()


def _require_packages() -> None:
    try:
        prometheus.ensure()
        faketime.ensure()
    except NoPackageError as error:
        raise prerequisites.MissingError(str(error)) from error


def _prepare_e2e(options: list[str]) -> None:
    """Nothing for a cluster that is there already. Else Docker, or what it takes to have one."""
    if not _makes_nodes(options):
        return
    if not engine.answers():
        prerequisites.require_root("to start a Docker daemon, since none answers")
        prerequisites.require(prerequisites.ENGINE | prerequisites.SINGLE_NODE)
        _require_programs([*binaries.NODE_IMAGE, "kind"])
    elif not all(map(shutil.which, binaries.KIND)):
        _require_programs(binaries.KIND)
    kind.prepare()


def _prepare_vllm(options: list[str]) -> None:
    if not _makes_nodes(options):
        raise prerequisites.MissingError("--kubeconfig: this tier makes its own nodes, since they need vLLM's folder")
    prerequisites.require(prerequisites.VLLM)
    prerequisites.require_memory(10, "for two servers, of which one is to take too much")
    _prepare_e2e(options)
    vllm_cpu.ensure()


def _require_programs(names: Iterable[str]) -> None:
    """Compiled already, or else Go to compile them with."""
    if not all((binaries.folder() / name).exists() for name in names):
        prerequisites.require_go()


def _makes_nodes(options: list[str]) -> bool:
    return not any(option.startswith("--kubeconfig") for option in options)


TWO_CLUSTERS = ("--numprocesses=2", "--dist=loadfile")
"""These tests mostly wait: for containers, and for loads that last as long as they have to."""

TIERS = {
    "unit": Tier(
        folders=("tests/unit", "tests/property", "tests/contract"),
        checks=(
            ("ruff", "check", "--quiet"),
            ("ruff", "format", "--check", "--quiet"),
            ("pyright", "--warnings"),
            ("lint-imports",),
        ),
        options=("--numprocesses=auto", "--dist=worksteal"),
        second_try=True,
    ),
    "simulation": Tier(folders=("tests/simulation",), options=("--numprocesses=auto", "--dist=worksteal")),
    "quickstart": Tier(folders=("tests/quickstart",), second_try=True),
    "apiserver": Tier(
        folders=("tests/apiserver", "tests/crash", "tests/security", "tests/chart", "tests/prometheus"),
        prepare=_prepare_apiserver,
        second_try=True,
    ),
    "e2e": Tier(
        folders=("tests/e2e",),
        prepare=_prepare_e2e,
        options=("--ignore=tests/e2e/vllm", *TWO_CLUSTERS),
        second_try=True,
        starts_docker=_makes_nodes,
    ),
    "vllm": Tier(folders=("tests/e2e/vllm",), prepare=_prepare_vllm, options=("--durations=6",), second_try=True),
    "git": Tier(folders=("tests/gitserver",), prepare=_prepare_git, second_try=True),
}


FIRST, LAST = ("quickstart",), ("vllm",)
"""What runs by itself where all of them run: how fast a server answers decides there, and little is left to chance."""

LANES = (("e2e",), ("apiserver", "git"))
"""What runs side by side in between, each in its order; the first is heard as it goes."""

COMPUTES = ("unit", "simulation")
"""Beside them, and giving way to them: it needs nothing but a processor."""


def main(arguments: list[str], usage: str) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(usage)
        return 0
    if arguments and arguments[0] not in TIERS:
        print(f"tests/run: {arguments[0]!r} is no tier; options come after a tier's name\n\n{usage}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignored"
    named, options = arguments[:1], arguments[1:]
    programs = environment.ensure()
    try:
        return _report([run(named[0], programs, options, optional=False)] if named else _all(programs))
    except KeyboardInterrupt:
        print("tests/run: interrupted", file=sys.stderr)
        return 130


def _all(programs: Path) -> list[Result]:
    """In the order of the table, whichever ran beside the others."""
    results = _in_turn(FIRST, programs)
    heard, *others = LANES
    with ExitStack() as stack:
        beside_it = [stack.enter_context(beside.running(lane)) for lane in others]
        beside_it.append(stack.enter_context(beside.running(COMPUTES, gives_way=True)))
        results += _in_turn(heard, programs)
        results += [result for lane in beside_it for result in lane()]
    results += _in_turn(LAST, programs)
    return sorted(results, key=lambda result: list(TIERS).index(result.tier))


def _in_turn(names: Iterable[str], programs: Path) -> list[Result]:
    return [run(name, programs, [], optional=True) for name in names]


def interrupt(_number: int, _frame: object) -> NoReturn:
    """SIGTERM as Ctrl-C: what is being prepared is put away before this ends."""
    raise KeyboardInterrupt


def run(name: str, programs: Path, options: list[str], *, optional: bool) -> Result:
    """One tier. What it needs may only be missing where nobody asked for it by name and this is not CI."""
    tier, result, begun = TIERS[name], Result(name), time.monotonic()
    print(f"\n== {name}", flush=True)
    try:
        _require_tests(tier)
        tier.prepare(options)
        _checks(tier, programs, result)
        with engine.running() if tier.starts_docker(options) else nullcontext():
            _pytest(tier, programs, options, result)
    except prerequisites.MissingError as error:
        result.problem = str(error)
        result.not_run = optional and os.environ.get("CI") != "true"
    except (LookupError, OSError, RuntimeError, SystemExit, subprocess.CalledProcessError) as error:
        result.problem = str(error)
    if result.problem:
        print(f"tests/run: {name}: {result.problem}", file=sys.stderr, flush=True)
    result.seconds = time.monotonic() - begun
    return result


def _tests(tier: Tier) -> list[str]:
    return [folder for folder in tier.folders if any((ROOT / folder).rglob("test_*.py"))]


def _require_tests(tier: Tier) -> None:
    if not _tests(tier):
        raise LookupError(f"no tests in {', '.join(tier.folders)}")


def _checks(tier: Tier, programs: Path, result: Result) -> None:
    for command in tier.checks:
        begun = time.monotonic()
        status = subprocess.run(command, check=False, cwd=ROOT, env=environment.variables(programs)).returncode
        print(f"{' '.join(command)}: {'failed' if status else 'ok'} ({time.monotonic() - begun:.1f} s)", flush=True)
        result.failed += bool(status)
        result.passed += not status


def _pytest(tier: Tier, programs: Path, options: list[str], result: Result) -> None:
    """A path among the options stands in the place of the tier's folders."""
    chosen = [option for option in options if option.startswith("tests/")] or _tests(tier)
    paths = [path for path in chosen if path not in options]
    command = [programs / "python", "-m", "pytest", *tier.options, *options, *paths]
    with tempfile.TemporaryDirectory() as folder:
        status = _once([*command, f"--override-ini=cache_dir={folder}"], programs, Path(folder, "report.xml"), result)
        if tier.second_try and os.environ.get("CI") == "true" and 0 < _files_failed(folder) <= MOST_UNSTEADY_FILES:
            status = _again([*command, f"--override-ini=cache_dir={folder}"], programs, folder, result)
    ran = result.passed + result.failed + result.skipped > len(tier.checks)
    if status and not result.failed:
        result.problem = f"pytest ended with status {status}" if ran else "no test ran"


def _once(command: list[str | Path], programs: Path, report: Path, result: Result) -> int:
    command = [*command, f"--junitxml={report}"]
    status = _wait(subprocess.Popen(command, cwd=ROOT, env=environment.variables(programs)))
    _count(report, result)
    return status


def _again(command: list[str | Path], programs: Path, folder: str, result: Result) -> int:
    """What failed, once more; pytest has noted it in its cache."""
    print("tests/run: what failed runs once more", flush=True)
    second = Result(result.tier)
    status = _once(
        [*command, "--last-failed", "--last-failed-no-failures=none"], programs, Path(folder, "second.xml"), second
    )
    result.failed = second.failed
    result.unsteady = second.passed
    result.passed += second.passed
    return status


def _files_failed(folder: str) -> int:
    report = Path(folder, "report.xml")
    if not report.exists():
        return 0
    cases = ET.parse(report).getroot().iter("testcase")
    bad = {c.get("classname") for c in cases if c.find("failure") is not None or c.find("error") is not None}
    return len(bad)


def _wait(pytest: subprocess.Popen[bytes]) -> int:
    """Until pytest has ended, which takes its clusters down first, also when it is interrupted.

    Ctrl-C reaches it from the terminal as it reaches this process; SIGTERM is passed on as if it were Ctrl-C.
    """
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        if number == signal.SIGTERM:
            pytest.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = pytest.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt
    return status


def _count(report: Path, result: Result) -> None:
    if not report.exists():
        return
    for suite in ET.parse(report).getroot().iter("testsuite"):
        total, bad, skipped = (int(suite.get(key, 0)) for key in ("tests", "failures", "skipped"))
        bad += int(suite.get("errors", 0))
        result.passed += max(0, total - bad - skipped)
        result.failed += bad
        result.skipped += skipped


def _report(results: list[Result]) -> int:
    print(f"\n{'tier':<12}{'passed':>8}{'failed':>8}{'unsteady':>10}{'skipped':>9}{'seconds':>9}")
    for one in results:
        note = f"  {'not run: ' if one.not_run else ''}{one.problem}".rstrip()
        print(
            f"{one.tier:<12}{one.passed:>8}{one.failed:>8}{one.unsteady:>10}{one.skipped:>9}{one.seconds:>9.1f}{note}"
        )
    # a tier that broke without a failing test counts as one failure: the last line must not look like success
    failed = sum(one.failed or bool(one.problem and not one.not_run) for one in results)
    passed, skipped = sum(one.passed for one in results), sum(one.skipped for one in results)
    unsteady = sum(one.unsteady for one in results)
    rest = "".join(f", {count} {what}" for count, what in ((unsteady, "unsteady"), (skipped, "skipped")) if count)
    print(f"\n{passed} passed, {failed} failed{rest}", flush=True)
    return 1 if failed or not passed else 0
