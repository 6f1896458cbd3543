# A worker with the CPU build of the engine. Build from the repository root:
#   docker build -f docker/worker-cpu.Dockerfile -t facet-worker-cpu .
# Runs as UID 10001, as any other UID of group 0 too, and with a read-only root file system: what
# it writes (caches, HOME) lies on the declared volumes. Give it --shm-size of 1 GiB or more.
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Locks come before the source: a change of code reuses the layer of the packages.
COPY requirements/build.txt requirements/worker-cpu.txt requirements/
RUN python -m venv /opt/facet \
 && /opt/facet/bin/python -m pip install --no-deps --require-hashes -r requirements/worker-cpu.txt \
 && python -m pip install --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheels . \
 && /opt/facet/bin/python -m pip install --no-deps --no-index /tmp/wheels/*.whl

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="facet-worker-cpu" \
      org.opencontainers.image.description="Facet worker, CPU engine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The engine loads libnuma and compiles kernels. Debian removes superseded versions from its
# archive, so that a pinned one stops building; the base image is what is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libnuma1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --gid 0 --home-dir /var/lib/facet --create-home --shell /usr/sbin/nologin facet \
 && install -d -m 0770 -o 10001 -g 0 /var/lib/facet /var/cache/facet
COPY --from=build /opt/facet /opt/facet
# USER and LOGNAME answer for UIDs without a passwd entry: torch asks for the user's name.
ENV PATH=/opt/facet/bin:$PATH \
    HOME=/var/lib/facet USER=facet LOGNAME=facet \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/var/cache/facet \
    VLLM_CACHE_ROOT=/var/cache/facet/vllm \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/facet/inductor \
    TRITON_CACHE_DIR=/var/cache/facet/triton \
    HF_HOME=/var/cache/facet/huggingface \
    VLLM_CONFIG_ROOT=/var/cache/facet/vllm-config \
    VLLM_NO_USAGE_STATS=1 \
    FACET_WORKER_HEALTH_LISTEN=0.0.0.0:8471
VOLUME ["/tmp", "/var/cache/facet"]
WORKDIR /var/lib/facet
USER 10001:0
EXPOSE 8471
STOPSIGNAL SIGTERM
# Loading and warming the engine takes minutes on a slow disk.
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=3 \
  CMD ["python", "-m", "facet.core.health_probe", "127.0.0.1:8471"]
ENTRYPOINT ["python", "-m", "facet.worker"]
