"""What `examples/quickstart` says where something is missing. Programs that would do the work are stand-ins."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "examples" / "quickstart"
TOOLS = ("bash", "cat", "chmod", "cksum", "cut", "date", "dirname", "env", "mkdir", "mktemp", "rm")

NO_VENV = """#!/bin/sh
case "$*" in *ensurepip*) exit 1;; -VV) echo Python 3.11.2;; esac
"""

NO_NETWORK = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$3/bin"; printf '#!/bin/sh\\necho no route to index >&2; exit 1\\n' > "$3/bin/pip"
           chmod +x "$3/bin/pip";;
"-VV ") echo Python 3.11.2;;
esac
"""

WORKS = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$3/bin"; echo made >> "$3/../made"
           printf '#!/bin/sh\\n' > "$3/bin/pip"; chmod +x "$3/bin/pip"
           printf '#!/bin/sh\\necho "$@"\\n' > "$3/bin/sloguard"; chmod +x "$3/bin/sloguard";;
"-VV ") echo Python 3.11.2;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def run(programs: Path, python: str | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    if python is not None:
        (programs / "python3").write_text(python)
        (programs / "python3").chmod(0o755)
    home = str(programs.parent)
    variables = {"PATH": str(programs), "HOME": home, "XDG_CACHE_HOME": f"{home}/cache", **environment}
    return subprocess.run([str(SCRIPT)], env=variables, capture_output=True, text=True, check=False)


def test_no_python(programs: Path):
    ended = run(programs)
    assert ended.returncode == 1
    assert "Python 3.11 or later is needed and was not found." in ended.stderr
    assert "apt-get install python3 python3-venv" in ended.stderr


def test_python_too_old(programs: Path):
    ended = run(programs, "#!/bin/sh\nexit 1\n")
    assert ended.returncode == 1
    assert "Python 3.11 or later is needed" in ended.stderr


def test_no_venv_module(programs: Path):
    ended = run(programs, NO_VENV)
    assert ended.returncode == 1
    assert "apt-get install python3-venv" in ended.stderr


def test_no_package_index(programs: Path):
    ended = run(programs, NO_NETWORK)
    assert ended.returncode == 1
    assert "no route to index" in ended.stderr
    assert "A package index has to be reachable" in ended.stderr


def test_environment_is_used_again_until_it_should_be_another(programs: Path):
    made = programs.parent / "cache" / "sloguard" / "made"
    for _ in range(2):
        ended = run(programs, WORKS)
        assert ended.returncode == 0, ended.stderr
        assert f"tune {ROOT}/examples/quickstart.yaml --output {ROOT}/results/quickstart-" in ended.stdout
    assert made.read_text() == "made\n"
    run(programs, WORKS.replace("3.11.2", "3.12.1"))
    assert made.read_text() == "made\nmade\n"


def test_named_python_comes_first(programs: Path):
    (programs / "other").write_text(WORKS)
    (programs / "other").chmod(0o755)
    assert run(programs, "#!/bin/sh\nexit 1\n", PYTHON=str(programs / "other")).returncode == 0
