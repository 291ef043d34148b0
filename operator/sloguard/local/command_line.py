"""The study's command on this machine: whether it can run here, what starts a trial, what it occupies."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from sloguard.api.v1alpha1 import KnobName, StudySpec
from sloguard.domain.arguments import option, split_command, tuned

_UNREACHABLE = ("api-key", "uds", "ssl-keyfile", "ssl-certfile", "root-path")
"""With these the load could not reach the server: it speaks plain HTTP to a port of this machine, without a key."""

_GPU_KNOBS = (KnobName.TENSOR_PARALLEL_SIZE, KnobName.PIPELINE_PARALLEL_SIZE)


def problem(spec: StudySpec) -> str | None:
    """Why the study cannot run here, before anything is started.

    Raises:
        ArgumentsError: the command holds no vLLM server.

    """
    command = spec.target.command or []
    _, arguments = split_command(command)
    program = command[0]
    if shutil.which(program, path=child_environment()["PATH"]) is None:
        if Path(program).exists():
            return f"spec.target.command: {program} may not be executed; make it executable with: chmod +x {program}"
        return f"spec.target.command: {program} is not a program on this machine; install it or give its whole path"
    if option(arguments, "config") is not None:
        return (
            "spec.target.command: remove --config and write the file's settings as arguments; they cannot be tuned in "
            "the file, and would be taken for vLLM's defaults"
        )
    for name in _UNREACHABLE:
        if option(arguments, name) is not None:
            return f"spec.target.command: remove --{name}; trials are reached by plain HTTP on a port of this machine"
    if spec.trial.parallelism > 1:
        return (
            "spec.trial.parallelism: one machine makes one trial at a time, two would disturb each other; set it to 1"
        )
    return None


def serving_at(command: Sequence[str], arguments: Sequence[str], port: int) -> list[str]:
    """The whole command line of a trial. The last of two equal flags counts, so production's own port may stand."""
    prefix, _ = split_command(command)
    return [*prefix, *arguments, "--host", "127.0.0.1", "--port", str(port)]


def child_environment() -> dict[str, str]:
    """Inherited, with our own programs on the PATH: without an activated environment they would not be.

    No key is asked for on the loopback address: neither readiness nor the load would have it.
    """
    path = os.environ.get("PATH", os.defpath)
    inherited = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
    return inherited | {"PATH": f"{path}{os.pathsep}{Path(sys.executable).parent}"}


def gpus_of(arguments: Sequence[str]) -> int:
    """How many GPUs a server with these arguments occupies."""
    known = tuned(arguments)
    product = 1
    for size in (*(known.get(knob) for knob in _GPU_KNOBS), option(arguments, "data-parallel-size")):
        product *= int(size) if size is not None and size.isdecimal() else 1
    return product
