"""`sloguard operator`."""

import click

from sloguard.cluster import logs
from sloguard.cluster.app import serve
from sloguard.cluster.execute import Settings
from sloguard.cluster.lease import LeaseSettings, lease_name, new_identity, own_namespace
from sloguard.measure.prometheus import PrometheusSettings
from sloguard.measure.prometheus_options import prometheus_options


@click.command()
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    envvar="SLOGUARD_NAMESPACES",
    help="Watch this namespace; may be given several times. All namespaces by default.",
)
@click.option(
    "--load-image",
    required=True,
    envvar="SLOGUARD_LOAD_IMAGE",
    help="The image of the load Jobs: the operator's own.",
)
@click.option(
    "--load-image-pull-policy",
    type=click.Choice(["Always", "IfNotPresent", "Never"]),
    default="IfNotPresent",
    show_default=True,
    envvar="SLOGUARD_LOAD_IMAGE_PULL_POLICY",
)
@prometheus_options
@click.option(
    "--lease-namespace",
    default=own_namespace,
    show_default="the pod's own, else default",
    envvar="SLOGUARD_LEASE_NAMESPACE",
    help="Where the Lease is that lets one operator act at a time.",
)
@click.option(
    "--lease-seconds",
    type=click.IntRange(min=3, max=600),
    default=15,
    show_default=True,
    envvar="SLOGUARD_LEASE_SECONDS",
    help="How long the Lease of an operator that died keeps others waiting.",
)
@click.option(
    "--identity",
    default=new_identity,
    show_default="host and a random number",
    envvar="SLOGUARD_IDENTITY",
    help="Who this is in the Lease: the pod's name, so that a restarted container goes on at once.",
)
@click.option("--probe-address", default="0.0.0.0:8080", show_default=True, help="Where /healthz is answered.")
@click.option(
    "--log-format",
    type=click.Choice([logs.TEXT, logs.JSON]),
    default=logs.TEXT,
    show_default=True,
    envvar="SLOGUARD_LOG_FORMAT",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    default="info",
    show_default=True,
    envvar="SLOGUARD_LOG_LEVEL",
    help="debug tells of every reconcile and every request to the API server.",
)
def operator(
    namespaces: tuple[str, ...],
    load_image: str,
    load_image_pull_policy: str,
    prometheus: PrometheusSettings | None,
    lease_namespace: str,
    lease_seconds: int,
    identity: str,
    probe_address: str,
    log_format: str,
    log_level: str,
) -> None:
    """Run the Kubernetes operator until it is told to stop."""
    logs.configure(log_format, log_level)
    settings = Settings(load_image, load_image_pull_policy, prometheus)
    lease = LeaseSettings(lease_namespace, lease_name(namespaces), identity, lease_seconds)
    serve(namespaces, settings, lease, probe_address)
