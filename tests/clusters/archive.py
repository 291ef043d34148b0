"""Writes container images of one layer as OCI archives: static programs need no builder."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path, PurePosixPath

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MEDIA = "application/vnd.oci.image"

Files = dict[str, Path | str]
"""A path in the image: a file of this machine, or, as a string, what a symbolic link points to."""


def write(archive: Path, name: str, files: Files, entrypoint: list[str]) -> None:
    layer = _layer(files)
    packed = gzip.compress(layer, compresslevel=4, mtime=0)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": [PATH], "Entrypoint": entrypoint, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA}.manifest.v1+json",
            "config": _descriptor(f"{MEDIA}.config.v1+json", config),
            "layers": [_descriptor(f"{MEDIA}.layer.v1.tar+gzip", packed)],
        }
    )
    index = _json({"schemaVersion": 2, "manifests": [_platform(manifest, name)]})
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", index)
        for blob in (manifest, config, packed):
            _add(tar, f"blobs/{_digest(blob).replace(':', '/')}", blob)


def _layer(files: Files) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for folder in _folders(files):
            info = tarfile.TarInfo(folder.lstrip("/"))
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "/tmp" else 0o755
            tar.addfile(info)
        for path, source in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            if isinstance(source, str):
                info.type, info.linkname = tarfile.SYMTYPE, source
                tar.addfile(info)
            else:
                _add(tar, info.name, source.read_bytes(), mode=0o755)
    return stream.getvalue()


def _folders(files: Files) -> list[str]:
    """Every folder on the way to a file, and /tmp, less those that are links."""
    parents = {str(folder) for path in files for folder in list(PurePosixPath(path).parents)[:-1]}
    return sorted(folder for folder in parents | {"/tmp"} if not isinstance(files.get(folder), str))


def _platform(manifest: bytes, name: str) -> dict[str, object]:
    return _descriptor(f"{MEDIA}.manifest.v1+json", manifest) | {
        "platform": {"architecture": "amd64", "os": "linux"},
        "annotations": {"io.containerd.image.name": name},
    }


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
