"""The README's commands for one machine with a GPU, word for word, with a stand-in on the PATH that is called vllm."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.unit.local.conftest import Tune

ROOT = Path(__file__).resolve().parents[3]
TUNE = "sloguard tune examples/one-gpu.yaml --output results/one-gpu"
REPORT = "sloguard report results/one-gpu"

VLLM = f"""#!/bin/sh
[ "$1" = serve ] && shift
exec {sys.executable} -m sloguard.simulator --profile=1.5b-a100 --startup-scale=0.001 "$@"
"""


def test_one_gpu(tmp_path: Path):
    """The whole study takes hours: it is interrupted under load, as a user may."""
    readme = (ROOT / "README.md").read_text()
    assert TUNE in readme
    assert REPORT in readme
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "vllm").write_text(VLLM)
    (tmp_path / "vllm").chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    run = Tune(tmp_path / "examples" / "one-gpu.yaml", tmp_path / "results" / "one-gpu")
    shell = {"cwd": tmp_path, "env": os.environ | {"PATH": path}, "text": True}
    with subprocess.Popen(TUNE.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **shell) as tune:
        try:
            run.wait_for_phase("Loading")
        finally:
            tune.send_signal(signal.SIGINT)
        said, _ = tune.communicate(timeout=30)
    assert tune.returncode == 130, said
    told = subprocess.run(REPORT.split(), capture_output=True, check=False, **shell)
    assert told.returncode == 0, told.stderr
    assert "Production" in told.stdout
    assert "No recommendation" in told.stdout
