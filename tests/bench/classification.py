"""How often a crash gets its right class, however its log was carried here, and how long reading a log takes.

    python -m tests.bench.classification [--quick] [--megabytes N] [--variants N]

Each log of the corpus (`crash_corpus`) is read as it is and through mutations that change what differs between
versions, clusters and collectors, but not what happened. The reference for the classes is what one usually does: search
the whole log for the words of each class, the first class that has any of them wins. The references for the time are
one pass of one regular expression of those words, and `grep -c` with it, over the same bytes in the same run.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sloguard.api.v1alpha1 import CrashClass
from sloguard.domain.crash import classify, classify_lines
from tests.bench.crash_corpus import HEAD, SERVING, START_END, Case, corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PROCESS = re.compile(r"\((\w+) pid=\d+\) ")
_TIME = re.compile(r"\b(\d\d-\d\d) \d\d:\d\d:\d\d\b")
_SOURCE = re.compile(r"\[(\w+\.py):\d+\]")
_HINT = re.compile(r"(?<=[.)]) (?:Try|Please try|Decrease|To increase|See https|Check your|You can use|For more)\b.*$")
_FIGURE = re.compile(r"\b\d+\.\d\d (?=[GM]iB)")
_READY = "Application startup complete"


def cri(lines: list[str], rng: random.Random) -> list[str]:
    """The files of a container runtime."""
    return [
        f"2026-07-15T21:00:{n % 60:02d}.{rng.randrange(10**9):09d}+02:00 stderr F {line}"
        for n, line in enumerate(lines)
    ]


def docker(lines: list[str], _: random.Random) -> list[str]:
    """Docker's JSON files."""
    return [json.dumps({"log": line + "\n", "stream": "stderr", "time": "2026-07-15T21:00:00.1Z"}) for line in lines]


def shipper(lines: list[str], _: random.Random) -> list[str]:
    """A log shipper's JSON lines."""
    return [
        json.dumps({"@timestamp": "2026-07-15T21:00:00Z", "message": line, "kubernetes": {"pod": "x"}})
        for line in lines
    ]


def syslog(lines: list[str], rng: random.Random) -> list[str]:
    return [f"Jul 15 21:00:{n % 60:02d} gpu-{rng.randrange(9)} vllm[8052]: {line}" for n, line in enumerate(lines)]


def kubectl(lines: list[str], _: random.Random) -> list[str]:
    """`kubectl logs --prefix --timestamps`."""
    return [f"[pod/llama-7d9f-x2x/vllm] 2026-07-15T21:00:00.123456789Z {line}" for line in lines]


def strange(lines: list[str], _: random.Random) -> list[str]:
    """A carrier of somebody's own."""
    return [f"<14>{n} llama/vllm ~ {line}" for n, line in enumerate(lines)]


def colours(lines: list[str], _: random.Random) -> list[str]:
    return [_PROCESS.sub(lambda m: f"\x1b[0;36m{m[0].rstrip()}\x1b[0;0m ", line) for line in lines]


def lost_escapes(lines: list[str], _: random.Random) -> list[str]:
    """Colours out of which a collector took the escape character."""
    return [line.replace("\x1b", "") for line in colours(lines, _)]


def returns(lines: list[str], _: random.Random) -> list[str]:
    return [line + "\r" for line in lines]


def no_processes(lines: list[str], _: random.Random) -> list[str]:
    """vLLM before 0.10."""
    return [_PROCESS.sub("", line) for line in lines]


def other_processes(lines: list[str], rng: random.Random) -> list[str]:
    """Tensor parallel workers and other names of processes."""
    names = rng.choice(
        [("APIServer", "Worker_TP1"), ("APIServer_0", "EngineCore_DP3"), ("ApiServer", "VllmWorker rank=1")]
    )
    return [_PROCESS.sub(lambda m: f"({names[0 if m[1].startswith('API') else 1]} pid=77) ", line) for line in lines]


def other_times(lines: list[str], _: random.Random) -> list[str]:
    """A logger with years, long paths and milliseconds."""
    return [_SOURCE.sub(r"[v1/engine/\1:9]", _TIME.sub(r"2026-\1 03:04:05.678", line)) for line in lines]


def other_figures(lines: list[str], rng: random.Random) -> list[str]:
    """Other figures, but for free memory, whose figures are the class."""
    return [
        line if "Free memory" in line else _FIGURE.sub(lambda _: f"{rng.uniform(1, 9):.1f} ", line) for line in lines
    ]


def no_hints(lines: list[str], _: random.Random) -> list[str]:
    """What versions reword most: the advice behind a message."""
    return [_HINT.sub("", line) for line in lines]


def ranks(lines: list[str], rng: random.Random) -> list[str]:
    """Two more workers write in between, one of them what follows from the death."""
    idle = "(Worker_TP2 pid=902) INFO 07-15 21:00:40 [parallel_state.py:1201] rank 2 in world size 4 is DP rank 0"
    late = "(Worker_TP3 pid=903) ERROR 07-15 21:00:43 [multiproc_executor.py:861] WorkerProc failed."
    mixed: list[str] = []
    for line in lines:
        mixed += [line, *([idle] if rng.random() < 0.3 and not line.endswith(tuple(":(")) else [])]
    failed = any("Error" in line for line in lines)
    return [*mixed, late] if failed and not any("hutting down" in line for line in lines) else mixed


def no_head(lines: list[str], _: random.Random) -> list[str]:
    """Only the end was kept: from the first error, or the last report before it."""
    starts = [n for n, line in enumerate(lines) if "ERROR" in line or "Traceback" in line]
    up = [n for n, line in enumerate(lines) if "Avg prompt throughput" in line or '" 200' in line]
    first = min(starts, default=len(lines) // 2)
    before = [n for n in up if n < first]
    return lines[before[-1] if before else (max(first - 1, 0) if not up else 0) :]


def wrapped(lines: list[str], _: random.Random) -> list[str]:
    """Broken at 110 characters."""
    return [part for line in lines for part in (textwrap.wrap(line, 110, drop_whitespace=False) or [""])]


def chatter(lines: list[str], rng: random.Random) -> list[str]:
    """Requests that quote errors, and a hundred reports, before the end."""
    said = [line for line in SERVING[2:] for _ in range(50)]
    said.insert(rng.randrange(100), SERVING[2].replace("/v1/chat/completions", "/v1/x?q=CUDA+out+of+memory"))
    quote = '(APIServer pid=1) INFO 07-15 21:02:01 [logger.py:43] Received request: prompt: "NCCL error, Xid 79"'
    ready = [n for n, line in enumerate(lines) if _READY in line]
    if not ready:
        return [lines[0], quote, *lines[1:]]
    return [*lines[: ready[-1] + 1], *said, quote, *lines[ready[-1] + 1 :]]


def second_start(lines: list[str], _: random.Random) -> list[str]:
    """A first start in the same log that died of something else."""
    first = [
        *HEAD,
        "(EngineCore_DP0 pid=9) ERROR 07-15 20:59:00 [core.py:1] RuntimeError: NCCL error: remote process exited",
        *START_END,
    ]
    banner = any("non-default args" in line or "API server version" in line for line in lines)
    return [*first, *([] if banner else HEAD[:2]), *lines]


def bad_bytes(lines: list[str], rng: random.Random) -> list[str]:
    """Bytes of no encoding, as they come out of the decoder."""
    return [line if rng.random() < 0.8 else line + " \ufffd\ufffd\x00" for line in lines]


MUTATIONS: dict[str, Callable[[list[str], random.Random], list[str]]] = {
    "as it is": lambda lines, _: lines,
    **{
        mutation.__name__.replace("_", " "): mutation
        for mutation in (
            *(cri, docker, shipper, syslog, kubectl, strange, colours, lost_escapes, returns, no_processes),
            *(other_processes, other_times, other_figures, no_hints, ranks, no_head, wrapped, chatter, second_start),
            bad_bytes,
        )
    },
}

WORDS: dict[CrashClass, str] = {
    CrashClass.CUDA_OUT_OF_MEMORY: r"CUDA out of memory|OutOfMemoryError",
    CrashClass.GPU_MEMORY_TAKEN: r"Free memory on device|Error in memory profiling",
    CrashClass.NO_KV_CACHE_ROOM: r"No available memory for the cache blocks",
    CrashClass.KV_CACHE_BELOW_ONE_REQUEST: r"To serve at least one request",
    CrashClass.UNSUPPORTED_QUANTIZATION: r"[Qq]uantization method",
    CrashClass.INVALID_ARGUMENTS: r"ValidationError|unrecognized arguments|: error: ",
    CrashClass.PORT_IN_USE: r"[Aa]ddress already in use",
    CrashClass.MODEL_DOWNLOAD: r"huggingface|is not a local folder",
    CrashClass.SHARED_MEMORY_TOO_SMALL: r"/dev/shm",
    CrashClass.COLLECTIVE_FAILURE: r"NCCL error|Watchdog caught",
    CrashClass.GPU_LOST: r"No CUDA GPUs|fallen off the bus|ECC error|Xid",
    CrashClass.GPU_FAULT: r"CUDA error",
    CrashClass.HANG: r"RPC call to",
    CrashClass.STARTUP_TIMEOUT: r"Timed out waiting for engine",
    CrashClass.HOST_OUT_OF_MEMORY: r"Cannot allocate memory|exit code: -9",
    CrashClass.DIED_UNDER_LOAD: r"EngineDeadError",
}


def by_words(log: str, exit_code: int | None) -> CrashClass | None:
    """The reference: the first class whose words stand anywhere in the log."""
    found = next((label for label, words in WORDS.items() if re.search(words, log)), None)
    return found or (None if exit_code is None else CrashClass.UNKNOWN)


@dataclass
class Tally:
    """Judgements: (right class, given class) -> how often."""

    counts: Counter[tuple[str, str]]

    @property
    def accuracy(self) -> float:
        return sum(n for (want, got), n in self.counts.items() if want == got) / max(self.counts.total(), 1)

    def precision(self, label: str) -> float | None:
        given = sum(n for (_, got), n in self.counts.items() if got == label)
        return self.counts[label, label] / given if given else None

    def recall(self, label: str) -> float | None:
        have = sum(n for (want, _), n in self.counts.items() if want == label)
        return self.counts[label, label] / have if have else None


def judge(case: Case, lines: Iterable[str]) -> CrashClass | None:
    crash = classify(case.evidence) if case.evidence else classify_lines(lines, case.exit_code)
    return crash.class_ if crash else None


def run(cases: list[Case], variants: int) -> tuple[Tally, Tally, dict[str, Tally], Counter[str]]:
    """All judgements, the reference's, those of each mutation, and the mistakes by name."""
    ours, theirs = Tally(Counter()), Tally(Counter())
    by_mutation = {name: Tally(Counter()) for name in MUTATIONS}
    mistakes: Counter[str] = Counter()
    for case in cases:
        names = ["as it is"] if case.evidence else list(MUTATIONS)
        for name in names:
            for seed in range(1 if name == "as it is" else variants):
                lines = MUTATIONS[name](list(case.lines), random.Random(f"{case.name} {name} {seed}"))
                got, want = str(judge(case, lines)), str(case.label)
                ours.counts[want, got] += 1
                by_mutation[name].counts[want, got] += 1
                if not case.evidence:
                    theirs.counts[want, str(by_words("\n".join(lines), case.exit_code))] += 1
                if got != want:
                    mistakes[f"{case.name} ({name}): {want} taken for {got}"] += 1
    return ours, theirs, by_mutation, mistakes


def big_logs(megabytes: int) -> Iterator[tuple[str, list[str]]]:
    """A server's ordinary day, one that complains in every line, and text that nobody wrote as a log."""
    bodies = {
        "reports": SERVING[2:],
        "errors": [
            "(EngineCore_DP0 pid=272) ERROR 07-15 21:00:42 [core.py:1100] RuntimeError: something odd in step {}"
        ],
        "raw text": ["    x = self.attention(hidden_states, positions) and so on for a while, step {}"],
    }
    for name, body in bodies.items():
        lines = [*HEAD, *SERVING]
        size = sum(map(len, body)) + len(body)
        lines += [line.replace("{}", str(n)) for n in range(megabytes * 1_000_000 // size) for line in body]
        yield name, lines


def timed(megabytes: int) -> list[str]:
    """One row of the table of times for each kind of log."""
    one = "|".join(WORDS.values())
    rows: list[str] = []
    for name, lines in big_logs(megabytes):
        text = "\n".join(lines)
        size = len(text) / 1e6
        ours = seconds(lambda text=text: classify_lines(text.split("\n"), 1))
        regex = seconds(lambda text=text: sum(1 for _ in re.finditer(one, text)))
        tracemalloc.start()
        classify_lines(iter(lines), 1)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        grep = grepped(text, one)
        shown = f"{ours / grep:.1f} | " if grep else "| "
        rows.append(f"| {name} | {ours / size * 1e3:.0f} | {ours / regex:.2f} | {shown}{peak:.1f} |")
    return rows


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def grepped(text: str, words: str) -> float | None:
    """CPU seconds of `grep -cE`, where there is one."""
    grep = shutil.which("grep")
    if grep is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".log", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        start = time.perf_counter()
        subprocess.run([grep, "-cE", words, file.name], stdout=subprocess.DEVNULL, check=False)
        return max(time.perf_counter() - start, 1e-3)


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def report(cases: list[Case], variants: int, megabytes: int) -> Tally:
    ours, theirs, by_mutation, mistakes = run(cases, variants)
    kinds = Counter(case.source for case in cases)
    print(
        f"{len(cases)} cases ({', '.join(f'{n} {kind}' for kind, n in kinds.items())}), "
        f"{ours.counts.total()} judgements"
    )
    print(f"\nright: {percent(ours.accuracy)}; the words' {percent(theirs.accuracy)}\n")
    print(
        "| class | cases read | precision | recall | precision of words | recall of words |\n|---|---|---|---|---|---|"
    )
    for label in sorted({want for want, _ in ours.counts}):
        shares = (ours.precision(label), ours.recall(label), theirs.precision(label), theirs.recall(label))
        read = sum(n for (want, _), n in ours.counts.items() if want == label)
        name = "nothing wrong" if label == "None" else label
        print(f"| {name} | {read} | {' | '.join(map(percent, shares))} |")
    print("\n| mutation | right |\n|---|---|")
    for name, tally in by_mutation.items():
        print(f"| {name} | {percent(tally.accuracy)} |")
    print("\nconfusions:")
    for said, times in sorted(mistakes.items()):
        print(f"- {said}" + (f", {times} times" if times > 1 else ""))
    print(
        f"\n| log of {megabytes} MB | ms a MB | times one regex | times grep -cE | peak of memory, MB |"
        "\n|---|---|---|---|---|"
    )
    print("\n".join(timed(megabytes)))
    return ours


def main(arguments: list[str]) -> Tally:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each mutation once, one megabyte")
    parser.add_argument("--variants", type=int, default=3, help="of each mutation of each log")
    parser.add_argument("--megabytes", type=int, default=20)
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.variants, chosen.megabytes = 1, 1
    return report(corpus(), chosen.variants, chosen.megabytes)


if __name__ == "__main__":
    main(sys.argv[1:])
