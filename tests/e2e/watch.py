"""Everything that a kind of object went through while a test ran, by `kubectl get --watch`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters.handle import Cluster

Object = dict[str, Any]


class Watch:
    """Each version of each object, in the order in which the API server told of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def seen(self) -> list[Object]:
        text, decoder, place, found = self._path.read_text(), json.JSONDecoder(), 0, []
        while place < len(text):
            if text[place].isspace():
                place += 1
                continue
            try:
                one, place = decoder.raw_decode(text, place)
            except ValueError:
                break  # still being written
            found.append(one)
        return found


@contextlib.contextmanager
def watching(cluster: Cluster, kind: str, namespace: str, *options: str) -> Iterator[Watch]:
    """A watch that is begun again when the API server ends it is not needed for the minutes of a test."""
    with tempfile.NamedTemporaryFile(suffix=".json") as output:
        command = [*cluster.prefix, str(cluster.kubectl_program), f"--kubeconfig={cluster.kubeconfig}"]
        command += ["get", kind, "-n", namespace, "--watch", "-o", "json", *options]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        try:
            yield Watch(Path(output.name))
        finally:
            process.terminate()
            process.wait()
