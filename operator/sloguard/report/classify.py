"""`sloguard classify`: what killed a server, from its log."""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Final, TextIO

import click

from sloguard.api.v1alpha1 import Crash
from sloguard.domain.crash import classify_lines

_GZIP_MAGIC: Final = b"\x1f\x8b"
_UTF16: Final = re.compile(rb"\xff\xfe[^\0]\0|\xfe\xff\0[^\0]")
"""What some shells make of a log that is redirected into a file."""
_NAMES: Final[tuple[str, ...]] = (
    "class",
    "fault",
    "phase",
    "cause",
    "line",
    "limit",
    "proof",
    "activity",
    "confidence",
)
_LONGEST_LINE: Final = 1 << 17
"""Characters; what a line says stands at its beginning."""


@click.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--exit-code", type=int, help="Of the server's process or container, if it has ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: class, fault, phase, cause, line, limit, ...")
def classify(file: Path, exit_code: int | None, as_json: bool) -> None:
    """Say what killed the server whose log is FILE (plain or gzip; - reads standard input).

    Whether it had become ready is read from the log. Where nothing went wrong, every value is null.
    """
    try:
        with _opened(file) as stream:
            crash = classify_lines(_lines(stream), exit_code)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise click.UsageError(f"{file} looks like gzip but cannot be unpacked: {error}.") from error
    except OSError as error:
        raise click.UsageError(f"Cannot read {file}: {error.strerror or error}.") from error
    click.echo(json.dumps(_fields(crash), ensure_ascii=False) if as_json else _sentences(crash))


@contextmanager
def _opened(file: Path) -> Generator[TextIO]:
    """The text of a log of any size, plain or gzip, whatever bytes it holds."""
    with ExitStack() as stack:
        raw = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        stream: BufferedReader = BufferedReader(raw)  # pyright: ignore[reportArgumentType] - it reads as raw files do
        if stream.peek(2).startswith(_GZIP_MAGIC):
            stream = BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=stream)))
        encoding = "utf-16" if _UTF16.match(stream.peek(4)) else "utf-8-sig"
        yield TextIOWrapper(stream, encoding, errors="replace", newline="\n")


def _lines(stream: TextIO) -> Iterator[str]:
    """Each line without its line feed, and of one without end no more than its beginning."""
    while line := stream.readline(_LONGEST_LINE):
        yield line.removesuffix("\n")
        while not line.endswith("\n") and (line := stream.readline(_LONGEST_LINE)):
            pass


def _fields(crash: Crash | None) -> Mapping[str, object]:
    if crash is None:
        return dict.fromkeys(_NAMES)
    return {
        "class": crash.class_,
        "fault": crash.fault,
        "phase": crash.phase,
        "cause": crash.cause,
        "line": crash.line,
        "limit": crash.limit,
        "proof": crash.proof.dump() if crash.proof else None,
        "activity": crash.activity.dump() if crash.activity else None,
        "confidence": crash.confidence_percent,
    }


def _sentences(crash: Crash | None) -> str:
    if crash is None:
        return "Nothing wrong seen."
    told = {**_fields(crash), "proof": None, "activity": crash.activity.in_words if crash.activity else None}
    known = {name: value for name, value in told.items() if value is not None}
    return "\n".join(f"{name + ':':12}{value}{' %' if name == 'confidence' else ''}" for name, value in known.items())
