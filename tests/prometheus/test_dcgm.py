"""Free GPU memory through a real Prometheus, from an endpoint that says what dcgm-exporter does.

No GPU is here, so the figures are made up; names, labels and units are those of dcgm-exporter 3 and 4.
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sloguard.api.v1alpha1 import LoadResult, ServerFault, ServerFaultKind, TrialPhase
from sloguard.cluster.device_memory import memory_under_load
from sloguard.cluster.gather import gather
from sloguard.cluster.sources import Sources
from sloguard.domain.device_memory import DeviceMemory
from sloguard.engine.actions import UpdateTrial
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import Load, LoadState
from sloguard.measure.dcgm import MIB, least_free
from sloguard.measure.encode import encode
from sloguard.measure.prometheus import Prometheus, PrometheusSettings
from tests.clusters import prometheus
from tests.unit.cluster.objects import begun, pod, running, terminated, trial_object
from tests.unit.cluster.test_gather import FakeApi, child, server, server_pod
from tests.unit.engine.builders import T0, make_trial, rate

TOTAL_MIB = 80_000


class Exporter:
    """One node's dcgm-exporter. `free_mib` is by pod and number of the GPU, `names` what it calls a pod's labels."""

    def __init__(self, names=("namespace", "pod", "container")):
        self.free_mib, self.names, self.scrapes, self.namespace = {}, names, 0, "serving"
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                exporter.scrapes += 1
                body = exporter.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Quietly."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def text(self):
        of, name, container = self.names
        free, used = [], []
        for (holder, gpu), mib in sorted(self.free_mib.items()):
            labels = f'gpu="{gpu}",UUID="GPU-{holder}-{gpu}",pci_bus_id="00000000:0{gpu}:00.0",device="nvidia{gpu}",'
            labels += f'modelName="NVIDIA H100 80GB HBM3",Hostname="node-1",{container}="vllm",{of}="{self.namespace}",'
            labels += f'{name}="{holder}"'
            free.append(f"DCGM_FI_DEV_FB_FREE{{{labels}}} {mib}\n")
            used.append(f"DCGM_FI_DEV_FB_USED{{{labels}}} {TOTAL_MIB - mib}\n")
        return (
            "# HELP DCGM_FI_DEV_FB_FREE Framebuffer memory free (in MiB).\n# TYPE DCGM_FI_DEV_FB_FREE gauge\n"
            + "".join(free)
            + "# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).\n# TYPE DCGM_FI_DEV_FB_USED gauge\n"
            + "".join(used)
        )

    def shows(self, **free_mib):
        """As in `a_0=100`: pod a, GPU 0. Until it has been scraped again, twice to be sure that one saw it whole."""
        self.free_mib.update({tuple(key.rsplit("_", 1)): mib for key, mib in free_mib.items()})
        seen, deadline = self.scrapes, time.monotonic() + 30
        while self.scrapes < seen + 2:
            assert time.monotonic() < deadline, "it is not scraped"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Three ways to be scraped: its labels honoured, renamed beside those of its own pod, and under old names."""
    honoured, renamed, old = Exporter(), Exporter(), Exporter(("pod_namespace", "pod_name", "container_name"))
    own = {"namespace": "gpu-operator", "pod": "nvidia-dcgm-exporter-x7k2p", "container": "nvidia-dcgm-exporter"}
    targets = [
        {"targets": [honoured.address]},
        {"targets": [renamed.address], "labels": own},
        {"targets": [old.address], "labels": own},
    ]
    with prometheus.running(tmp_path_factory.mktemp("dcgm"), targets, interval="250ms") as started:
        prometheus.wait_until("all targets are up", lambda: started.targets_up() == 3, 30)
        yield started, honoured, renamed, old
    for one in (honoured, renamed, old):
        one.server.shutdown()
        one.server.server_close()


@pytest.mark.parametrize("which", [1, 2, 3], ids=["honoured", "renamed", "old"])
async def test_the_least_of_the_tightest_gpu_in_the_window_counts(nodes, which):
    scraping, node = nodes[0], nodes[which]
    node.shows(a_0=50, a_1=9_000, b_0=10)  # before the load; b is somebody else's
    node.shows(a_0=70_000)
    began = datetime.now(UTC)
    node.shows(a_0=8_000, a_1=9_000)
    node.shows(a_0=7_000, a_1=600)
    node.shows(a_0=7_500, a_1=800)
    ended = datetime.now(UTC)
    node.shows(a_0=79_000, a_1=79_000)
    async with Prometheus(PrometheusSettings(scraping.url)) as asked:
        told = await least_free(asked, "serving", "a", began, ended)
        assert told == DeviceMemory(600 * MIB, (TOTAL_MIB - 600) * MIB)
        assert await least_free(asked, "serving", "nobody", began, ended) is None
        assert await least_free(asked, "another", "a", began, ended) is None
        long_ago = began - timedelta(hours=1)
        assert await least_free(asked, "serving", "a", long_ago, long_ago + timedelta(minutes=1)) is None


LOADING = make_trial(0, phase=TrialPhase.LOADING, started_at=T0, ready_at=T0, load_started_at=T0)
POD = {"metadata": {"name": "c", "namespace": "serving"}}


async def test_it_is_asked_once_a_whole_load_is_over_and_never_spoils_it(nodes):
    scraping, _, node, _ = nodes
    began = datetime.now(UTC)
    node.shows(c_0=400)
    done = Load(LoadState.DONE, LoadResult(started_at=began, finished_at=datetime.now(UTC)))
    fault = ServerFault(kind=ServerFaultKind.SERVER_GONE, at=began, detail="it is gone")
    broken = Load(LoadState.DONE, done.result.model_copy(update={"fault": fault}))
    late = Load(
        LoadState.DONE, LoadResult(started_at=began - timedelta(hours=2), finished_at=began - timedelta(hours=1))
    )
    finished = make_trial(0, outcome="Feasible", rates=[1])
    async with Prometheus(PrometheusSettings(scraping.url)) as asked:
        told = await memory_under_load(asked, "serving", LOADING, POD, done)
        assert told == DeviceMemory(400 * MIB, (TOTAL_MIB - 400) * MIB)
        for trial, pod, load in (
            (LOADING, POD, Load(LoadState.RUNNING)),
            (LOADING, POD, Load()),
            (LOADING, POD, broken),
            (LOADING, POD, late),
            (LOADING, None, done),
            (finished, POD, done),
        ):
            assert await memory_under_load(asked, "serving", trial, pod, load) is None
    assert await memory_under_load(None, "serving", LOADING, POD, done) is None
    async with Prometheus(PrometheusSettings("http://127.0.0.1:9")) as gone:
        assert await memory_under_load(gone, "serving", LOADING, POD, done) is None


async def test_a_trial_ends_with_the_figure_in_its_margins(nodes):
    """From the objects of a finished load to the status that is written."""
    scraping, _, node, _ = nodes
    node.namespace = "prod"
    began = datetime.now(UTC)
    node.shows(**{"s-0-1-pod_0": 30_000}, **{"s-0-1-pod_1": 1_500})
    margins = {"availableKvCacheBytes": 40_000 * MIB, "modelWeightsBytes": 15_000 * MIB}
    now = datetime.now(UTC)
    under_way = {"phase": "Loading", "readyAt": now.isoformat(), "loadStartedAt": now.isoformat(), "margins": margins}
    loaded = encode(LoadResult(started_at=began, finished_at=now, rates=[rate()]))
    ended = pod(terminated(0, "Completed", message=loaded), name="load", container="load", owner="job")
    ended["metadata"]["labels"] = {"sloguard.dev/trial": "s-0-1", "sloguard.dev/role": "load"}
    api = FakeApi(
        sloguardtrials=[trial_object(0, status=begun(**under_way))],
        deployments=[server()],
        jobs=[{"metadata": child() | {"uid": "job"}, "spec": {}, "status": {}}],
        pods=[server_pod(running(), ready=True), ended],
    )
    async with Prometheus(PrometheusSettings(scraping.url)) as asked:
        gathered = await gather(api, "prod", "s", Sources(asked))
    (written,) = [a for a in plan(gathered.snapshot, now).actions if isinstance(a, UpdateTrial)]
    assert written.status.phase is TrialPhase.FINISHED
    assert written.status.margins.least_free_device_memory_bytes == 1_500 * MIB
    assert written.status.margins.device_memory_bytes == TOTAL_MIB * MIB
    assert written.status.margins.model_weights_bytes == 15_000 * MIB
