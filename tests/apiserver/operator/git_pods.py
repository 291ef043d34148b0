"""Plays the kubelet for the Job of a promotion through Git: its very command runs, on files as its volumes would hold.

Nothing else of this machine is lent to it: what is not mounted, it does not have.
"""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.apiserver.admission.rest import RefusedError

Object = dict[str, Any]
MOST_SECONDS = 60
LIMIT_BYTES = 4096
"""Of what Kubernetes keeps of a termination message."""


def run(world: Any, pod: Object, folder: Path) -> Object:
    """How its only container ended."""
    (container,) = pod["spec"]["containers"]
    message = folder / "termination-log"
    message.touch()
    places = {"/dev/termination-log": str(message)} | mounted(world, pod, container, folder)
    program, *arguments = [_in(places, word) for word in container["command"]]
    assert program == "sloguard"
    variables = {one["name"]: _in(places, one["value"]) for one in container.get("env", [])}
    ended = subprocess.run(
        [sys.executable, "-m", "sloguard", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=MOST_SECONDS,
        env={"HOME": str(folder), "PYTHONPATH": ":".join(sys.path), "LANG": "C.UTF-8"} | variables,
    )
    (folder / "said").write_text(ended.stdout + ended.stderr)
    left = message.read_bytes()
    assert len(left) <= LIMIT_BYTES
    reason = "Error" if ended.returncode else "Completed"
    return {"exitCode": ended.returncode, "reason": reason, "message": left.decode()}


def mounted(world: Any, pod: Object, container: Object, folder: Path) -> dict[str, str]:
    """Folders by the paths at which the container sees them."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    places: dict[str, str] = {}
    for mount in container["volumeMounts"]:
        place = folder / "volumes" / mount["name"]
        place.mkdir(parents=True)
        for name, content in _files(world, volumes[mount["name"]]).items():
            (place / name).write_bytes(content)
        if mount.get("readOnly"):
            place.chmod(0o555)
        places[mount["mountPath"]] = str(place)
    return places


def _files(world: Any, volume: Object) -> dict[str, bytes]:
    if "configMap" in volume:
        data = world.get("configmaps", volume["configMap"]["name"])["data"]
        return {key: text.encode() for key, text in data.items()}
    if "secret" not in volume:
        return {}
    source = volume["secret"]
    try:
        data = world.get("secrets", source["secretName"]).get("data", {})
    except RefusedError:
        assert source["optional"], "the pod would wait for its Secret for ever"
        return {}
    wanted = {item["key"]: item["path"] for item in source["items"]}
    return {wanted[key]: base64.b64decode(text) for key, text in data.items() if key in wanted}


def _in(places: dict[str, str], word: str) -> str:
    for path, place in sorted(places.items(), key=lambda one: -len(one[0])):
        if word == path or word.startswith(f"{path}/"):
            return place + word.removeprefix(path)
    return word
