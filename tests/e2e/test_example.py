"""examples/kind/up, whole, as the README gives it to people: it ends with a study under way."""

from __future__ import annotations

from tests.e2e import demo


def test_up_brings_a_first_study_under_way(kind_cluster):
    kind_cluster.up()
    try:
        kind_cluster.wait_for("the first trial's load", lambda: _loading(kind_cluster), 120)
    finally:
        kind_cluster.kubectl("delete", "namespace", "demo", "--timeout=120s", timeout_seconds=130)


def _loading(cluster) -> bool:
    return any(t.get("status", {}).get("phase") == "Loading" for t in demo.trials(cluster, "demo"))
