"""`sloguard classify`: what killed a server, from its log."""

import gzip
import json
import sys
import zlib
from pathlib import Path

import click

from sloguard.api.v1alpha1 import Crash
from sloguard.domain.crash import classify_log

_GZIP_MAGIC = b"\x1f\x8b"


@click.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--exit-code", type=int, help="Of the server's process or container, if it has ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: class, fault, phase, cause, line, limit, ...")
def classify(file: Path, exit_code: int | None, as_json: bool) -> None:
    """Say what killed the server whose log is FILE (plain or gzip; - reads standard input).

    Whether it had become ready is read from the log. Where nothing went wrong, every value is null.
    """
    crash = classify_log(_read(file), exit_code)
    click.echo(json.dumps(_fields(crash), ensure_ascii=False) if as_json else _sentences(crash))


def _read(file: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"Cannot read {file}: {error.strerror or error}.") from error
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise click.UsageError(f"{file} looks like gzip but cannot be unpacked: {error}.") from error
    return content.decode("utf-8", errors="replace")


def _fields(crash: Crash | None) -> dict[str, str | int | None]:
    if crash is None:
        return dict.fromkeys(("class", "fault", "phase", "cause", "line", "limit", "confidence"))
    return {
        "class": crash.class_,
        "fault": crash.fault,
        "phase": crash.phase,
        "cause": crash.cause,
        "line": crash.line,
        "limit": crash.limit,
        "confidence": crash.confidence_percent,
    }


def _sentences(crash: Crash | None) -> str:
    if crash is None:
        return "Nothing wrong seen."
    known = {name: value for name, value in _fields(crash).items() if value is not None}
    return "\n".join(f"{name + ':':12}{value}{' %' if name == 'confidence' else ''}" for name, value in known.items())
