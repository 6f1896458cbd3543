# A worker with the CUDA build of the engine, for NVIDIA drivers from 580 on. Build from the
# repository root:
#   docker build -f docker/worker.Dockerfile -t facet-worker .
# Runs as UID 10001, as any other UID of group 0 too, and with a read-only root file system: what
# it writes (caches, downloaded weights) lies on the declared volumes. Give it --shm-size of 1 GiB.
ARG BASE=python:3.11.14-slim-bookworm

# Locks come before the source, and packages are a layer of their own: a change of code fetches and
# pulls none of them.
FROM ${BASE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/facet
COPY requirements/worker-cuda.txt requirements/
RUN /opt/build/bin/pip --python /opt/facet install --no-deps --require-hashes -r requirements/worker-cuda.txt

FROM packages AS source
COPY requirements/build.txt requirements/
RUN /opt/build/bin/pip install --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
RUN /opt/build/bin/pip install --no-deps --no-build-isolation --target /opt/source . \
 && rm -r /opt/source/bin

FROM ${BASE}
# The engine loads libnuma and compiles kernels while it warms up. Debian removes superseded
# versions from its archive, so that a pinned one stops building; the base image is what is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libnuma1 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
 && useradd --uid 10001 --gid 0 --no-create-home --home-dir /var/lib/facet --shell /usr/sbin/nologin facet \
 && install -d -m 0770 -o 10001 -g 0 /var/lib/facet /var/cache/facet
COPY --from=packages /opt/facet /opt/facet
COPY --from=source /opt/source /opt/facet/lib/python3.11/site-packages
# USER and LOGNAME answer for UIDs without a passwd entry: torch asks for the user's name.
# GKE mounts the driver under /usr/local/nvidia, the container toolkit where the linker looks.
# There is no nvcc here, with which flashinfer would compile its sampler; vLLM has its own.
ENV PATH=/opt/facet/bin:$PATH:/usr/local/nvidia/bin \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    VLLM_USE_FLASHINFER_SAMPLER=0 \
    HOME=/var/lib/facet USER=facet LOGNAME=facet \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/var/cache/facet \
    VLLM_CACHE_ROOT=/var/cache/facet/vllm \
    VLLM_CONFIG_ROOT=/var/cache/facet/vllm-config \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/facet/inductor \
    TRITON_CACHE_DIR=/var/cache/facet/triton \
    HF_HOME=/var/cache/facet/huggingface \
    FACET_WORKER_WEIGHTS_CACHE=/var/cache/facet/weights \
    FLASHINFER_WORKSPACE_BASE=/var/cache/facet \
    VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_DISABLE_TELEMETRY=1 \
    FACET_WORKER_HEALTH_LISTEN=0.0.0.0:8471 \
    FACET_WORKER_METRICS_LISTEN=0.0.0.0:9464
VOLUME ["/tmp", "/var/cache/facet"]
WORKDIR /var/lib/facet
USER 10001:0
EXPOSE 8471 9464
STOPSIGNAL SIGTERM
# Fetching weights, loading and warming the engine take minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=900s --retries=3 \
  CMD ["python", "-m", "facet.core.health_probe", "127.0.0.1:8471"]
ENTRYPOINT ["python", "-m", "facet.worker"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="facet-worker" \
      org.opencontainers.image.description="Facet worker, CUDA engine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
