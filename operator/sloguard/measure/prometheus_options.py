"""Options that tell a command where Prometheus is. Never a study: its author must not direct our requests."""

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from .prometheus import PrometheusSettings

ENVIRONMENT = "SLOGUARD_PROMETHEUS"


class _Address(click.ParamType[str]):
    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's
        if re.fullmatch(r"https?://[^/\s?#]+[^\s?#]*", str(value)) is None:
            self.fail(
                f"{value!r} is no address of a Prometheus; give one such as http://prometheus.monitoring:9090",
                param,
                ctx,
            )
        return str(value)


class _Label(click.ParamType[str]):
    name = "LABEL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's
        if re.fullmatch(r"[a-zA-Z_]\w*", str(value), re.ASCII) is None:
            self.fail(f"{value!r} cannot be the name of a label; use letters, digits and _", param, ctx)
        return str(value)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option(
        "--prometheus-url", type=_Address(), envvar=f"{ENVIRONMENT}_URL", help="A Prometheus that scrapes vLLM."
    ),
    click.option(
        "--prometheus-token-file",
        type=_FILE,
        envvar=f"{ENVIRONMENT}_TOKEN_FILE",
        help="A file with the bearer token that it asks for; read at each request.",
    ),
    click.option(
        "--prometheus-ca-file",
        type=_FILE,
        envvar=f"{ENVIRONMENT}_CA_FILE",
        help="Certificates to know it by, where the system's do not.",
    ),
    click.option(
        "--prometheus-namespace-label",
        type=_Label(),
        default="namespace",
        show_default=True,
        envvar=f"{ENVIRONMENT}_NAMESPACE_LABEL",
        help="The label that its scrape configuration puts a pod's namespace into.",
    ),
    click.option(
        "--prometheus-pod-label",
        type=_Label(),
        default="pod",
        show_default=True,
        envvar=f"{ENVIRONMENT}_POD_LABEL",
        help="The label that its scrape configuration puts a pod's name into.",
    ),
)


def prometheus_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options above as one argument, `prometheus`: PrometheusSettings, or None without a URL."""

    @wraps(command)
    def with_settings(
        *arguments: object,
        prometheus_url: str | None,
        prometheus_token_file: Path | None,
        prometheus_ca_file: Path | None,
        prometheus_namespace_label: str,
        prometheus_pod_label: str,
        **others: object,
    ) -> None:
        settings = None
        if prometheus_url is not None:
            settings = PrometheusSettings(
                url=prometheus_url,
                token_file=prometheus_token_file,
                ca_file=prometheus_ca_file,
                pod_label=prometheus_pod_label,
                namespace_label=prometheus_namespace_label,
            )
        command(*arguments, prometheus=settings, **others)

    decorated = with_settings
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
