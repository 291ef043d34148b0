"""A GitOps controller: the `agent` of Argo CD's gitops-engine, from its Go module, over a clone that is pulled.

Every two seconds it brings what it watches back to what the clone says, whoever changed it.
"""

import shutil
import threading
from pathlib import Path

from tests.clusters import processes
from tests.clusters.binaries import compile_program
from tests.clusters.cache import CACHE, digest, locked, say
from tests.clusters.handle import Cluster
from tests.gitserver.servers import Hosted, free_port, run

MODULE = Path(__file__).parent / "go" / "gitops-engine"
PACKAGE = "github.com/argoproj/gitops-engine/agent"
PULLED_SECONDS = 1.0
RESYNC_SECONDS = 2


def ensure() -> Path:
    """The program of exactly this version, compiled now where it is missing."""
    program = CACHE / f"gitops-agent-{digest(MODULE)}"
    if not program.exists():
        with locked("gitops-agent", "compiles gitops-engine's agent"):
            if not program.exists():
                if shutil.which("go") is None:
                    raise SystemExit("tests/apiserver: Go is needed to compile gitops-engine; none is on PATH")
                say(f"compiling gitops-engine's agent into {program}; about 4 min with an empty Go cache, once")
                compile_program(MODULE, PACKAGE, program)
    return program


class Agent:
    """For one namespace and one folder of a repository, until `stop`."""

    def __init__(self, cluster: Cluster, namespace: str, hosted: Hosted, path: str, folder: Path) -> None:
        self._folder, self._clone = folder, folder / "clone"
        run("git", "clone", "-q", "-b", "main", hosted.path, self._clone)
        self._stopped = threading.Event()
        self._pulling = threading.Thread(target=self._pull)
        self._pulling.start()
        options = ["--path", path, "--namespaced", "--default-namespace", namespace, "--port", str(free_port())]
        options += ["--resync-seconds", str(RESYNC_SECONDS), "--kubeconfig", str(cluster.kubeconfig)]
        processes.start(folder, "agent", ensure(), self._clone, *options)

    def _pull(self) -> None:
        while not self._stopped.wait(PULLED_SECONDS):
            run("git", "fetch", "-q", "origin", "main", cwd=self._clone)
            run("git", "reset", "-q", "--hard", "origin/main", cwd=self._clone)

    def log(self) -> str:
        return (self._folder / "logs" / "agent.log").read_text()

    def stop(self) -> None:
        self._stopped.set()
        self._pulling.join(20)
        processes.stop_all(self._folder)
