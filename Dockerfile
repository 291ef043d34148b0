# One image: the operator, the load Job and the stand-in for vLLM (`sloguard simulate`).
#
#   docker build -t sloguard:dev .
#
# BASE is any Debian-like image with Python 3.11 or later and its venv module. If build/wheels/ is there,
# every package comes from it and nothing is downloaded.
ARG BASE=python:3.12-slim-bookworm

# What others wrote: a layer that changes with pyproject.toml only.
FROM ${BASE} AS dependencies
COPY pyproject.toml build/wheel[s] /wheels/
# pip lives in an environment of its own, so that none gets into the image
RUN set -eu; \
    python3 -m venv /opt/build; \
    python3 -m venv --without-pip /opt/venv; \
    python3 -c 'import tomllib; print(*tomllib.load(open("/wheels/pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > /requirements.txt; \
    printf '%s\n' '#!/bin/sh' \
      'if ls /wheels/*.whl > /dev/null 2>&1; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels; fi' \
      'exec /opt/build/bin/pip --quiet --no-cache-dir --disable-pip-version-check --python /opt/venv/bin/python "$@"' > /opt/build/bin/install; \
    chmod +x /opt/build/bin/install; \
    /opt/build/bin/install install --root-user-action ignore --no-compile -r /requirements.txt; \
    # the tests that compiled packages bring along
    find /opt/venv -type d -name tests -prune -exec rm -r {} +; \
    # importing compiles exactly what is used, once for all starts (the user of the container may write nowhere)
    /opt/venv/bin/python -c 'import aiohttp.web, click, dulwich.client, kopf.cli, kubernetes.aio, optuna.samplers, paramiko, prometheus_client, pydantic, rich.console, rich.progress, scipy.stats, sklearn.ensemble, sklearn.gaussian_process, uvloop, yaml'

# SLO-Guard itself: a layer of a megabyte or two.
FROM dependencies AS application
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY operator/ operator/
RUN /opt/build/bin/install install --root-user-action ignore --no-deps --target /app .

FROM ${BASE}
LABEL org.opencontainers.image.title="SLO-Guard" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=application /app /app
ENV PATH=/app/bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
WORKDIR /tmp
USER 65532:65532
# kopf asks who runs it; any user id may, and most have no name here
ENV LOGNAME=sloguard
ENTRYPOINT ["sloguard"]
