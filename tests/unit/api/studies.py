"""Good studies for tests, how to change them, and what a bad one is."""

import copy
from typing import Any, NamedTuple

Object = dict[str, Any]

BASE: Object = {
    "apiVersion": "sloguard.dev/v1alpha1",
    "kind": "SLOGuardStudy",
    "metadata": {"name": "llama-8b"},
    "spec": {
        "target": {"kind": "Deployment", "name": "llama-8b", "container": "vllm"},
        "slos": [
            {"metric": "TTFT", "percentile": 99, "milliseconds": 500},
            {"metric": "ITL", "percentile": 99, "milliseconds": 100},
        ],
        "objective": "Goodput",
        "workload": {
            "arrival": {"pattern": "Poisson", "requestsPerMinute": 600},
            "sweepPercent": [50, 100, 150],
            "promptTokens": {"mean": 1024, "stddev": 256, "min": 16, "max": 4096},
            "outputTokens": {"mean": 128, "stddev": 32, "min": 1, "max": 1024},
            "sharedPrefix": {"tokens": 512, "percent": 50},
            "warmupSeconds": 20,
            "durationSeconds": 120,
            "seed": 7,
        },
        "searchSpace": {
            "preset": "Core",
            "parameters": [
                {"name": "max_num_seqs", "int": {"min": 4, "max": 512, "scale": "Log"}},
                {"name": "performance_mode", "choice": {"values": ["balanced", "throughput"]}},
            ],
            "allowQualityChange": False,
        },
        "optimizer": {"name": "tpe", "seed": 42},
        "budget": {"trials": 30, "gpuMinutes": 240, "wallClockMinutes": 1440},
        "trial": {"parallelism": 1, "startupTimeoutSeconds": 900},
        "windows": [{"schedule": "0 1 * * *", "durationMinutes": 300, "timeZone": "Europe/Paris"}],
        "suspend": False,
        "promotion": {"mode": "Manual", "minimumImprovementPercent": 5, "confirmations": 3},
    },
}

GIT: Object = {
    "repository": "https://git.example.com/team/apps.git",
    "file": {"path": "apps/llm/llama.yaml"},
    "pullRequest": {"forge": "Gitea"},
    "secretRef": {"name": "llama-git"},
}

GONE = object()
"""As a value in `changed`: remove the field."""


def changed(changes: dict[str, Any], base: Object = BASE) -> Object:
    """The base with values put at paths such as `spec.slos.0.metric`."""
    study = copy.deepcopy(base)
    for path, value in changes.items():
        *above, last = (int(part) if part.isdigit() else part for part in path.split("."))
        place: Any = study
        for part in above:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        if value is GONE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(copy.deepcopy(value))
        else:
            place[last] = copy.deepcopy(value)
    return study


class Bad(NamedTuple):
    """Changes that make the base bad, and what both messages hold: field, value, remedy.

    `local` and `cluster` are for words that only one of the two has; `only` names the one place that minds at all.
    """

    name: str
    changes: dict[str, Any]
    says: tuple[str, ...]
    local: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    only: str = ""

    @property
    def study(self) -> Object:
        return changed(self.changes)


GOOD_STUDIES: dict[str, Object] = {
    "base": BASE,
    "smallest": changed(
        {
            "spec": {
                "target": {"name": "llama", "container": "vllm"},
                "slos": [{"metric": "TTFT", "milliseconds": 500}],
                "workload": {
                    "arrival": {"requestsPerMinute": 60},
                    "promptTokens": {"mean": 1024},
                    "outputTokens": {"mean": 128},
                },
            }
        }
    ),
    "trace": changed(
        {
            "spec.workload.arrival": {
                "pattern": "Trace",
                "trace": [{"atMilliseconds": 5, "promptTokens": 9, "outputTokens": 1}],
            }
        }
    ),
    "replay": changed(
        {
            "spec.workload": {
                "arrival": {
                    "pattern": "Trace",
                    "trace": [
                        {
                            "atMilliseconds": 60_000,
                            "promptTokens": 900,
                            "outputTokens": 1,
                            "prefixGroup": 1,
                            "prefixTokens": 512,
                        },
                        {"atMilliseconds": 70_000, "promptTokens": 800, "outputTokens": 1, "prefixGroup": 1},
                    ],
                    "replay": {"fromSeconds": 60, "timePercent": 50, "ratePercent": 250},
                }
            }
        }
    ),
    "burst": changed(
        {"spec.workload.arrival": {"pattern": "Burst", "requestsPerMinute": 60, "burst": {"requestsPerMinute": 600}}}
    ),
    "closed-loop": changed(
        {"spec.workload.arrival": {"pattern": "ClosedLoop", "closedLoop": {"users": 32, "thinkMilliseconds": 500}}}
    ),
    "live": changed({"spec.measurement": "Prometheus", "spec.workload": {"arrival": {"pattern": "Live"}}}),
    "chat": changed({"spec.workload.prompts": {"format": "Chat"}}),
    "gamma": changed({"spec.workload.arrival": {"pattern": "Gamma", "requestsPerMinute": 60, "burstinessPercent": 25}}),
    "lengths": changed(
        {
            "spec.workload.promptTokens": {"distribution": "LogNormal", "mean": 1024, "stddev": 2048, "max": 8192},
            "spec.workload.outputTokens": {"distribution": "Uniform", "min": 16, "max": 256},
        }
    ),
    "counted-lengths": changed(
        {
            "spec.workload.promptTokens": {
                "distribution": "Empirical",
                "buckets": [{"min": 600}, {"min": 601, "max": 1000, "weight": 90}],
                "max": 900,
            }
        }
    ),
    "every-domain": changed(
        {
            "spec.searchSpace.preset": "None",
            "spec.searchSpace.parameters": [
                {"name": "max_num_seqs", "int": {"min": 4, "max": 512, "scale": "Log"}},
                {"name": "max_model_len", "choice": {"values": ["auto", "32k", "4096"]}},
                {"name": "gpu_memory_utilization", "decimal": {"min": "0.8", "max": "1"}},
                {"name": "enforce_eager", "choice": {"values": ["true", "false"]}},
                {"name": "kv_cache_dtype", "choice": {"values": ["auto", "fp8_e5m2"]}},
                {
                    "name": "long_prefill_token_threshold",
                    "int": {"min": 512, "max": 512},
                    "when": {"name": "enforce_eager", "equals": "false"},
                },
            ],
        }
    ),
    "windows": changed(
        {
            "spec.windows": [
                {"schedule": schedule, "durationMinutes": 1, "onClose": "Stop"}
                for schedule in (
                    "*/15 0-6,22,23 1-31/2 JAN,jul-Dec mon-FRI",
                    "5/10 01 29 2 0-7",
                    "00 23 30 4 *",
                    "0 0 31 1,2 *",
                    "0 0 * * Sat,SUN",
                )
            ]
        }
    ),
    "longest-name": changed({"metadata.name": "a" * 40}),
    "approved": changed({"spec.promotion.approvedTrial": "llama-8b-4-1"}),
    "git": changed({"spec.promotion": {"mode": "Git", "git": GIT}}),
    "git-prepared": changed({"spec.promotion.git": GIT}),
    "git-by-ssh": changed(
        {
            "spec.promotion": {
                "mode": "Git",
                "git": {
                    "repository": "git@git.example.com:team/apps.git",
                    "base": "release/v1.2",
                    "file": {"path": "argocd/llama.yaml", "shape": "HelmValues", "valuesPath": "models[0].args"},
                    "secretRef": {"name": "llama-git"},
                    "author": {"name": "Größe & Söhne", "email": "bot@example.com"},
                },
            }
        }
    ),
    "git-everything": changed(
        {
            "spec.promotion": {
                "mode": "Git",
                "git": {
                    "repository": "ssh://me.too@[2001:db8::1]:2222/~team/My%20Project/apps",
                    "base": "main",
                    "branch": "sloguard/llama",
                    "file": {
                        "path": "./overlays/production/",
                        "shape": "Kustomize",
                        "kind": "Deployment",
                        "name": "llama",
                        "container": "vllm",
                    },
                    "pullRequest": {"forge": "GitHub", "api": "https://git.example.com/api/v3"},
                    "secretRef": {"name": "llama.git"},
                },
            }
        }
    ),
    "limits": changed(
        {
            "spec.slos": [{"metric": "E2E", "percentile": each, "milliseconds": 86_400_000} for each in range(93, 101)],
            "spec.workload.sweepPercent": [1, 10, 50, 99, 100, 101, 500, 1000],
            "spec.windows": BASE["spec"]["windows"] * 16,
            "spec.budget": {"trials": 500, "gpuMinutes": 1_000_000, "wallClockMinutes": 525_600},
            "spec.promotion.confirmations": 0,
        }
    ),
}
