"""Two operators at once, by mistake: nothing is done twice, with the Lease and even without it."""

import json

from tests.crash.reference import STUDY
from tests.crash.studies import of_run


def holder(run):
    """Of the Lease for this namespace."""
    leases = run.world.rest.request("GET", "/apis/coordination.k8s.io/v1/namespaces/sloguard-system/leases")["items"]
    ours = [
        lease["spec"] for lease in leases if lease["spec"].get("holderIdentity", "").startswith(run.world.namespace)
    ]
    return ours[0]["holderIdentity"].rpartition("-")[2] if ours else ""


def reconciled_by(log):
    return [line for line in map(json.loads, log.read_text().splitlines()) if line["logger"] == "sloguard.execute"]


def test_one_waits_and_takes_over_when_the_other_dies(studies, reference):
    with studies.one("two") as run:
        place = run.world.namespace
        first = run.start(f"{place}-first")
        run.world.create("sloguardstudies", STUDY)
        run.live(run.world.trials)
        second_log = run.log = run.log.with_name("second")
        run.start(f"{place}-second")
        run.live(lambda: len(run.world.trials()) >= 3)
        assert holder(run) == "first"
        assert reconciled_by(second_log) == []
        run.lose(first)
        run.live(lambda: run.ended)
        assert holder(run) == "second"
        assert not of_run(run).differs(reference)


def test_without_a_lease_between_them_nothing_is_done_twice(studies, reference):
    """Both believe to be the same pod, so both act, on the same study at the same time."""
    with studies.one("both") as run:
        run.start("same")
        run.world.create("sloguardstudies", STUDY)
        own = run.log
        run.log = run.log.with_name("second")
        run.start("same")
        run.live(lambda: run.ended)
        assert reconciled_by(run.log), "both acted"
        assert reconciled_by(own), "both acted"
        assert "Traceback" not in own.read_text()
        assert not of_run(run).differs(reference)
