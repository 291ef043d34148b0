"""The study and the production that a schedule begins with."""

import re
from datetime import datetime, timedelta
from random import Random

from tests.short_study import short_spec
from tests.simulation.api_server import Object

ARGUMENTS = ["org/model", "--max-num-seqs=2", "--port=8000"]


def production(name: str = "llama", container: str = "vllm") -> Object:
    """Anew at each call."""
    program = {
        "name": container,
        "image": "vllm/vllm-openai:v0.33.0",
        "args": list(ARGUMENTS),
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return {
        "metadata": {"name": name, "labels": {"app": "llama"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "llama"}},
            "template": {"metadata": {"labels": {"app": "llama"}}, "spec": {"containers": [program]}},
        },
    }


def study(random: Random) -> Object:
    """Short, and soon done."""
    confirmations = random.choice([0, 0, 1])
    least = 3 + confirmations + (2 if confirmations else 0)
    spec = short_spec(
        workload={"drainSeconds": 5},
        searchSpace={"parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 256, "scale": "Log"}}]},
        optimizer={"name": "random" if random.random() < 0.97 else "auto", "seed": random.randint(0, 999)},
        budget={"trials": least + random.choice([0, 1, 1, 2]), "gpuMinutes": random.choice([2, 5, 1000, 1000])},
        trial={
            "parallelism": random.choice([1, 1, 1, 2, 3]),
            "startupTimeoutSeconds": random.choice([60, 100]),
            "infrastructureRetries": random.choice([0, 2, 2, 5]),
            "infrastructurePatienceSeconds": random.choice([30, 60]),
        },
        promotion={
            "mode": random.choice(["Off", "Manual", "Automatic", "Automatic"]),
            "confirmations": confirmations,
            "minimumImprovementPercent": random.choice([0, 5]),
            "soakSeconds": random.choice([0, 1, 30]),
            "verification": {"durationSeconds": random.choice([1, 30])},
        },
        windows=windows(random) if random.random() < 0.3 else [],
    )
    # Drawn apart, so that all other schedules are what they were.
    if spec["promotion"]["mode"] == "Automatic" and (through := Random(spec["optimizer"]["seed"])).random() < 0.25:
        spec["promotion"] |= {"mode": "Git", "git": git(through)}
    return {"metadata": {"name": "s"}, "spec": spec}


def git(random: Random) -> Object:
    """A direct commit, or a pull request."""
    way = random.choice([{"base": "main"}, {"pullRequest": {"forge": "Gitea"}}])
    repository = "https://git.example.com/team/apps.git"
    return {"repository": repository, "file": {"path": "llama.yaml"}, "secretRef": {"name": "git"}} | way


def windows(random: Random) -> list[Object]:
    """One that opens several times an hour, for longer than any start may take."""
    first, minutes = random.choice([0, 2, 4]), random.choice([10, 20])
    window = {
        "schedule": f"{first}-59/{minutes} * * * *",
        "durationMinutes": random.randint(3, 5),
        "timeZone": random.choice(["Etc/UTC", "Europe/Paris"]),
        "onClose": random.choice(["Finish", "Stop", "Stop"]),
    }
    return [window]


OURS = re.compile(r"(\d+)-59/(\d+) \* \* \* \*")


def begin(windows: list[Object], random: Random) -> timedelta:
    """After which part of an hour a schedule begins: with windows mostly while a first trial is cut by one's end."""
    if not windows or random.random() < 0.3:
        return timedelta(seconds=random.randrange(1200))
    first, _ = map(int, OURS.fullmatch(windows[0]["schedule"]).groups())
    return timedelta(minutes=first + windows[0]["durationMinutes"], seconds=-random.randint(3, 60))


def is_open(windows: list[Object], moment: datetime) -> bool:
    """By the clock alone, which shows the same minutes in all zones of these windows. Any others may be open."""
    return not windows or any(_is_open(window, moment.minute) for window in windows)


def _is_open(window: Object, minute: int) -> bool:
    schedule = OURS.fullmatch(window["schedule"])
    if schedule is None:
        return True
    first, step = map(int, schedule.groups())
    return minute >= first and (minute - first) % step < window["durationMinutes"]


def node(gpus: int) -> Object:
    """Where all pods run; the operator asks it for free GPUs."""
    offers = {"nvidia.com/gpu": str(gpus), "cpu": "640", "memory": "5120Gi", "pods": "1100"}
    status = {"allocatable": offers, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": "node-1", "namespace": ""}, "spec": {}, "status": status}
