"""Other projects' CustomResourceDefinitions, from their Go modules: nothing of theirs is kept in this project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.cache import CACHE, locked


@dataclass(frozen=True)
class Definition:
    """A file of a module's version; `digest` is the module's, as go.sum has it."""

    module: str
    version: str
    digest: str
    file: str

    @property
    def path(self) -> Path:
        """Where it lies, fetched now if it is not there yet."""
        kept = CACHE / "definitions" / f"{self.module.replace('/', '-')}-{self.version}-{Path(self.file).name}"
        if not kept.exists():
            with locked("definitions", "fetches a module"):
                self._keep(kept)
        return kept

    def _keep(self, kept: Path) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        module = self._fetched()
        assert module["Sum"] == self.digest, f"{self.module} {self.version} is not what it was: {module['Sum']}"
        new = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(Path(module["Dir"]) / self.file, new)
        # renamed when complete, so that nobody ever sees half of one
        new.rename(kept)

    def _fetched(self) -> dict[str, str]:
        if shutil.which("go") is None:
            raise SystemExit(f"tests/clusters: Go is needed to fetch {self.module}; none is on PATH")
        command = ["go", "mod", "download", "-json", f"{self.module}@{self.version}"]
        with tempfile.TemporaryDirectory() as outside:
            done = subprocess.run(command, cwd=outside, text=True, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"tests/clusters: {self.module} {self.version} cannot be fetched: {done.stdout}{done.stderr}"
            )
        return json.loads(done.stdout)


LEADER_WORKER_SET = Definition(
    module="sigs.k8s.io/lws",
    version="v0.8.0",
    digest="h1:DdhJ8QabwTfWgbgaHH2gdf8twliioHaoSfmDXRYEVU0=",
    file="config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
)

ARGO_APPLICATION = Definition(
    module="github.com/argoproj/argo-cd/v3",
    version="v3.2.0",
    digest="h1:m2eGAV+nXQGgzZbH5SyJD5laaPW27mzWXBrgisUHY/0=",
    file="manifests/crds/application-crd.yaml",
)

FLUX_KUSTOMIZATION = Definition(
    module="github.com/fluxcd/kustomize-controller",
    version="v1.7.3",
    digest="h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M=",
    file="config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
)

FLUX_REPOSITORY = Definition(
    module="github.com/fluxcd/source-controller",
    version="v1.7.0",
    digest="h1:/fBgS4CSmT5Jj/fjQDF92y+pC3gst1GJjgNSzY8Ff9I=",
    file="config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
)
