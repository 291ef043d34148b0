"""Derives the compact table beside this file from raw recordings of real vLLM.

    python -m tests.bench.recordings.derive RAW_FOLDER

RAW_FOLDER holds one `LAND.jsonl.gz` for each land (a GPU size with a model), one trial a line with its requests, and
`metrics/NAME.txt.gz`, the text of /metrics after the loads. Written are `gpu-h200-vllm024.jsonl.gz`, whose lines are
either a load (what was sent when: the same for every trial of its land) or a trial, and `metrics.txt.gz`, one trial's
metrics. Paths and figures of single requests are left out. `crash-logs.jsonl.gz` holds one whole log, out of
`logs/NAME.log.gz`, for each way in which a server ended: the shortest.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from tests.bench.percentiles import latencies

HERE = Path(__file__).resolve().parent
TABLE = HERE / "gpu-h200-vllm024.jsonl.gz"
METRICS = HERE / "metrics.txt.gz"
LOGS = HERE / "crash-logs.jsonl.gz"
METRICS_OF = "tight24_028"  # the defaults
LANDS = {"tight24": "7b-h200-24gb", "small8": "1.5b-h200-8gb"}
KEPT = (
    "land", "name", "group", "fault", "config", "outcome", "startup_s", "co_started", "kv_tokens", "kv_gib", "load_gib",
    "load_s", "graph_gib", "graph_est_gib", "graph_s", "compile_s", "compile_cached", "init_s", "gpu_mem_mib",
    "gpu_mem_after_mib",
)  # fmt: skip


def main(raw: Path) -> None:
    lines: list[dict[str, Any]] = []
    for land, profile in LANDS.items():
        with gzip.open(raw / f"{land}.jsonl.gz", "rt") as file:
            trials = [json.loads(line) for line in file]
        lines += [{"kind": "load", "land": land, **load} for load in sent_loads(trials).values()]
        lines += [{"kind": "trial", "profile": profile, **compact(trial)} for trial in trials]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    write(TABLE, text)
    with gzip.open(raw / "metrics" / f"{METRICS_OF}.txt.gz", "rt") as file:
        write(METRICS, file.read())
    write(LOGS, "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs(raw)))
    print(f"{TABLE.name}: {len(lines)} lines, {TABLE.stat().st_size} bytes; {METRICS.name}: {METRICS.stat().st_size}")


def write(path: Path, text: str) -> None:
    """The same bytes for the same text: no time and no name in the header."""
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def logs(raw: Path) -> list[dict[str, Any]]:
    """One log for each reason, fault and exit code."""
    shortest: dict[tuple[str, str, int | None], dict[str, Any]] = {}
    for land in LANDS:
        with gzip.open(raw / f"{land}.jsonl.gz", "rt") as file:
            trials = [json.loads(line) for line in file]
        for trial in trials:
            with gzip.open(raw / "logs" / f"{trial['name']}.log.gz", "rt", errors="replace", newline="\n") as file:
                text = file.read()
            key = ((trial.get("class") or "").split(":")[0], trial.get("fault") or "", trial.get("rc"))
            if key not in shortest or len(text) < len(shortest[key]["log"]):
                head = {"name": trial["name"], "reason": key[0], "fault": key[1], "exit_code": key[2]}
                shortest[key] = {**head, "log": text}
    return [shortest[key] for key in sorted(shortest, key=str)]


def sent_loads(trials: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each load sends, by name; every trial was sent the same."""
    loads: dict[str, dict[str, Any]] = {}
    for trial in trials:
        for load in trial.get("loads") or []:
            requests = sorted(load["recs"], key=lambda rec: (rec["t"], rec["n_in"], rec["pre"]))
            sent = {
                "name": load["name"],
                "rate": load["rate"],
                "seconds": load["dur"],
                "n_out": load["n_out"],
                "t": [rec["t"] for rec in requests],
                "n_in": [rec["n_in"] for rec in requests],
                "prefix": "".join(str(rec["pre"]) for rec in requests),
            }
            assert loads.setdefault(load["name"], sent) == sent, f"{trial['name']} was sent another {load['name']}"
    return loads


def compact(trial: dict[str, Any]) -> dict[str, Any]:
    kept = {key: trial[key] for key in KEPT if trial.get(key) is not None}
    # The reason without the figures of one case: invalid_arguments, oom_under_load, ...
    kept["class"] = (trial.get("class") or "").split(":")[0] or None
    kept["loads"] = [outcome_of(load) for load in trial.get("loads") or []]
    return kept


def outcome_of(load: dict[str, Any]) -> dict[str, Any]:
    requests = load["recs"]
    failed = [rec["err"] for rec in requests if rec.get("err")]
    unfinished = sum(error == "unfinished" for error in failed)
    return {
        "name": load["name"],
        "sent": load["sent"],
        "wall_s": load["wall"],
        "completed": len(requests) - len(failed),
        "unfinished": unfinished,
        "errors": len(failed) - unfinished,
        **latencies(requests),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
