"""What a server wrote, as far as a judgement needs it."""

from pathlib import Path

MOST_BYTES = 8 * 1024 * 1024
"""Of the beginning and of the end each: causes stand near the end, and how the server was started at the beginning."""


def read_log(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """Empty where nothing was written; without its middle where that is very long."""
    try:
        with path.open("rb") as stream:
            head = stream.read(most_bytes)
            rest = path.stat().st_size - len(head)
            if rest > most_bytes:
                stream.seek(-most_bytes, 2)
                head += f"\n[{rest - most_bytes} bytes left out]\n".encode()
            return (head + stream.read(most_bytes)).decode(errors="replace")
    except OSError:
        return ""
