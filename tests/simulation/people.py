"""What people do to a study, to its trials and to production, at random moments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.simulation.api_server import Object, Refusal, place
from tests.simulation.studies import ARGUMENTS, node, production, windows

PERSON = "person"
OTHER_ARGUMENTS = ["org/model", "--max-num-seqs=3", "--port=8000"]
MOST_TRIALS = 9


@dataclass
class People:
    """`meddle` does one thing; `made_good` puts back what would leave a study waiting for ever."""

    world: Any
    helped_themselves: bool = False
    """To servers or records, so that nobody can know what was used."""
    deleted_trials: set[str] = field(default_factory=set)
    changed_soak: bool = False
    busy_until: float = 0.0
    """In the loop's seconds: by then they have done what they mean to do."""

    def meddle(self) -> None:
        does, chance = self.world.random.choice(DEEDS)
        if self.world.random.random() < chance:
            try:
                does(self)
            except Refusal as refusal:
                self.world.note("person: refused: %s", refusal)

    def made_good(self) -> None:
        """Nobody leaves production away, suspended for good or without the retries that it takes."""
        server, random = self.world.server, self.world.random
        if server.get("deployments", "llama") is None:
            self.create_production()
        if random.random() < 0.7:
            self.no_quota()
        study = server.get("sloguardstudies", "s")
        if study is not None and study["spec"].get("suspend") and random.random() < 0.7:
            self._spec("resumes the study", suspend=False)
        if self._running_with() == OTHER_ARGUMENTS and random.random() < 0.7:
            self._arguments(ARGUMENTS)
        # A study that nothing is owed to is not looked at for minutes, whatever somebody did to its records meanwhile.
        self.annotate("/apis/sloguard.dev/v1alpha1/namespaces/ns/sloguardstudies/s")

    def annotate(self, path: str) -> None:
        """As tools do that keep something of their own at an object."""
        plural, _, name, _ = place(path)
        if plural in {"sloguardstudies", "sloguardtrials", "deployments"} and (name or (name := self._any(plural))):
            self.world.note("person: annotates %s %s", plural, name)
            mark = {"seen": str(self.world.loop.time())}
            self.world.server.change(plural, name, lambda b: b["metadata"].update(annotations=mark), PERSON)

    # the study

    def suspend(self) -> None:
        self._spec("suspends the study", suspend=True)

    def resume(self) -> None:
        self._spec("resumes the study", suspend=False)

    def more_trials(self) -> None:
        self._nested("budget", trials=self.world.random.randint(6, MOST_TRIALS))

    def minutes(self) -> None:
        self._nested("budget", gpuMinutes=self.world.random.choice([1, 3, 10, 1000]))

    def retries(self) -> None:
        self._nested("trial", infrastructureRetries=self.world.random.randint(0, 6))

    def parallelism(self) -> None:
        self._nested("trial", parallelism=self.world.random.choice([1, 1, 2, 3]))

    def windows(self) -> None:
        random = self.world.random
        self._spec("sets windows", windows=windows(random) if random.random() < 0.5 else [])

    def mode(self) -> None:
        self._nested("promotion", mode=self.world.random.choice(["Off", "Manual", "Automatic"]), approvedTrial="")

    def soak(self) -> None:
        self.changed_soak = True
        self._nested("promotion", soakSeconds=self.world.random.choice([0, 1, 30]))

    def approve(self) -> None:
        """What is recommended, a trial that may not even have been measured, or one that is not there."""
        study = self.world.server.get("sloguardstudies", "s")
        recommended = (study or {}).get("status", {}).get("recommendation", {}).get("trial")
        names = [t["metadata"]["name"] for t in self.world.server.items("sloguardtrials")]
        chosen = self.world.random.choice([recommended or "s-2-1", *names, "s-77-1", ""])
        self._nested("promotion", mode="Manual", approvedTrial=chosen)

    def delete_study(self) -> None:
        if self.world.server.get("sloguardstudies", "s") is not None:
            self.world.note("person: deletes the study")
            self.world.server.delete("sloguardstudies", "s", PERSON)
            if self.world.random.random() < 0.5:
                self._later(self.world.random.uniform(0.1, 60), self.create_study)

    def create_study(self) -> None:
        if self.world.server.get("sloguardstudies", "s") is None:
            self.world.note("person: creates the study anew")
            self.world.create_study()

    # production

    def edit_production(self) -> None:
        self._arguments(OTHER_ARGUMENTS if self._running_with() == ARGUMENTS else ARGUMENTS)

    def label_template(self) -> None:
        def change(body: Object) -> None:
            annotations = body["spec"]["template"]["metadata"].setdefault("annotations", {})
            annotations["restarted"] = str(self.world.loop.time())

        self._production("restarts production", change)

    def scale_production(self) -> None:
        replicas = self.world.random.choice([0, 1, 2])
        self._production(f"scales production to {replicas}", lambda body: body["spec"].update(replicas=replicas))

    def delete_production(self) -> None:
        if self.world.server.get("deployments", "llama") is not None:
            self.world.note("person: deletes production")
            self.world.server.delete("deployments", "llama", PERSON)
            self._later(self.world.random.uniform(1, 120), self.create_production)

    def create_production(self) -> None:
        if self.world.server.get("deployments", "llama") is None:
            self.world.note("person: creates production")
            self.world.server.create("deployments", production(), PERSON)

    def trial_ended(self) -> None:
        """Where GPUs are scarce, what it held is often gone at once, for a minute or two: what is promoted then finds
        none for one pod more.
        """
        random = Random(f"{self.world.seed} {self.world.loop.time()}")
        machinery, found = self.world.machinery, self.world.server.get("deployments", "llama")
        if self.world.scarce and found is not None and machinery.gpus == self.world.gpus and random.random() < 0.8:
            self._offer(found["spec"].get("replicas", 1))
            self._later(random.uniform(20, 120), self._offer_all)

    def _offer_all(self) -> None:
        self._offer(self.world.gpus)

    def _offer(self, gpus: int) -> None:
        self.world.note("node: offers %s GPUs", gpus)
        self.world.machinery.gpus = gpus
        offers = node(gpus)["status"]["allocatable"]
        self.world.server.change("nodes", "node-1", lambda body: body["status"].update(allocatable=offers), PERSON)

    # what others allow

    def quota(self) -> None:
        """Of pods, in the study's namespace; often with room for production alone."""
        server, most = self.world.server, self.world.random.choice([1, 1, 2, 4])
        self.no_quota()
        self.world.note("person: allows %s pods", most)
        body = {"metadata": {"name": "quota"}, "spec": {"hard": {"pods": str(most)}}}
        server.create("resourcequotas", body, PERSON)
        self.world.machinery.count_quota()

    def no_quota(self) -> None:
        if self.world.server.get("resourcequotas", "quota") is not None:
            self.world.note("person: allows any number of pods")
            self.world.server.delete("resourcequotas", "quota", PERSON)
            self.world.machinery.count_quota()

    # what trials caused

    def delete_trial(self) -> None:
        name = self._any("sloguardtrials")
        if name is not None:
            self.deleted_trials.add(name)
            self._delete("sloguardtrials", name)
            self.world.record_removed()

    def delete_server(self) -> None:
        self._delete("deployments", self._any("deployments"))

    def delete_job(self) -> None:
        self._delete("jobs", self._any("jobs"))

    def delete_service(self) -> None:
        self._delete("services", self._any("services"))

    def delete_pod(self) -> None:
        self._delete("pods", self._any("pods"))

    def scale_server(self) -> None:
        name = self._any("deployments")
        if name is not None:
            replicas = self.world.random.choice([0, 2])
            self.world.note("person: scales %s to %s", name, replicas)
            self.helped_themselves = True
            self.world.server.change("deployments", name, lambda body: body["spec"].update(replicas=replicas), PERSON)

    def evict(self) -> None:
        name = self._any("pods")
        pod = self.world.server.get("pods", name) if name else None
        if pod is not None and pod["status"]["phase"] == "Running":
            self.world.note("node: evicts %s", name)
            self.helped_themselves = True
            self.world.machinery.evict(name)

    # small things

    def _later(self, seconds: float, deed: Callable[[], None]) -> None:
        self.busy_until = max(self.busy_until, self.world.loop.time() + seconds)
        self.world.later(seconds, deed)

    def _any(self, plural: str) -> str | None:
        found = [o["metadata"]["name"] for o in self.world.server.items(plural) if _of_a_study(o)]
        return self.world.random.choice(found) if found else None

    def _delete(self, plural: str, name: str | None) -> None:
        if name is not None:
            self.world.note("person: deletes %s %s", plural, name)
            self.helped_themselves = True
            self.world.server.delete(plural, name, PERSON)

    def _spec(self, what: str, **fields: Any) -> None:
        study = self.world.server.get("sloguardstudies", "s")
        if study is not None and "deletionTimestamp" not in study["metadata"]:
            self.world.note("person: %s", what)
            self.world.server.change("sloguardstudies", "s", lambda body: body["spec"].update(fields), PERSON)

    def _nested(self, part: str, **fields: Any) -> None:
        study = self.world.server.get("sloguardstudies", "s")
        if study is not None:
            self._spec(f"sets {part} {fields}", **{part: study["spec"].get(part, {}) | fields})

    def _arguments(self, arguments: list[str]) -> None:
        def change(body: Object) -> None:
            body["spec"]["template"]["spec"]["containers"][0]["args"] = arguments

        self._production(f"gives production {arguments[1]}", change)

    def _running_with(self) -> list[str] | None:
        found = self.world.server.get("deployments", "llama")
        return found and found["spec"]["template"]["spec"]["containers"][0]["args"]

    def _production(self, what: str, change: Callable[[Object], None]) -> None:
        self.world.note("person: %s", what)
        self.world.server.change("deployments", "llama", change, PERSON)


def _of_a_study(stored: Object) -> bool:
    return "sloguard.dev/study" in stored["metadata"].get("labels", {})


DEEDS = (
    (People.suspend, 0.3),
    (People.resume, 0.9),
    (People.more_trials, 0.2),
    (People.minutes, 0.1),
    (People.retries, 0.5),
    (People.parallelism, 0.2),
    (People.mode, 0.2),
    (People.windows, 0.1),
    (People.quota, 0.4),
    (People.no_quota, 0.2),
    (People.soak, 0.2),
    (People.approve, 0.5),
    (People.delete_study, 0.05),
    (People.edit_production, 0.15),
    (People.label_template, 0.15),
    (People.scale_production, 0.2),
    (People.delete_production, 0.08),
    (People.delete_trial, 0.1),
    (People.delete_server, 0.3),
    (People.delete_job, 0.3),
    (People.delete_service, 0.3),
    (People.delete_pod, 0.5),
    (People.scale_server, 0.15),
    (People.evict, 0.3),
)
