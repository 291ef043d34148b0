"""A GitOps controller: the `agent` of Argo CD's gitops-engine, from its Go module, over a clone that is pulled.

Every two seconds it brings what it watches back to what the clone says, whoever changed it. One word of it is changed
before it is compiled: it would listen on all addresses of the machine, its profiler as well.
"""

import shutil
import tempfile
import threading
from pathlib import Path

from tests.clusters import processes
from tests.clusters.binaries import compile_program
from tests.clusters.cache import CACHE, digest, locked, say
from tests.clusters.handle import Cluster
from tests.gitserver.servers import Hosted, free_port, run

MODULE = Path(__file__).parent / "go" / "gitops-engine"
ENGINE = "github.com/argoproj/gitops-engine"
EVERYWHERE, LOOPBACK = '"0.0.0.0:%d"', '"127.0.0.1:%d"'
PULLED_SECONDS = 1.0
RESYNC_SECONDS = 2


def program() -> Path:
    """Where it is, of exactly this version."""
    return CACHE / f"gitops-agent-{digest(MODULE, LOOPBACK)}"


def ensure() -> Path:
    """The same, compiled now where it is missing."""
    if not program().exists():
        with locked("gitops-agent", "compiles gitops-engine's agent"):
            if not program().exists():
                _build(program())
    return program()


def _build(target: Path) -> None:
    if shutil.which("go") is None:
        raise SystemExit("tests/apiserver: Go is needed to compile gitops-engine; none is on PATH")
    say(f"compiling gitops-engine's agent into {target}; about 4 min with an empty Go cache, once")
    run("go", "mod", "download", ENGINE, cwd=MODULE)
    source = Path(run("go", "list", "-m", "-f", "{{.Dir}}", ENGINE, cwd=MODULE).strip(), "agent", "main.go").read_text()
    assert source.count(EVERYWHERE) == 1
    with tempfile.TemporaryDirectory() as module:
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(MODULE / name, Path(module, name))
        Path(module, "main.go").write_text(source.replace(EVERYWHERE, LOOPBACK))
        compile_program(Path(module), ".", target)


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
