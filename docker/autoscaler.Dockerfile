# The autoscaler: answers KEDA, or scales by itself. Build from the repository root:
#   docker build -f docker/autoscaler.Dockerfile -t facet-autoscaler .
# Runs as UID 10001, as any other UID of group 0 too, and with a read-only root file system.
ARG BASE=python:3.11.14-slim-bookworm

# Locks come before the source, and packages are a layer of their own: a change of code fetches and
# pulls none of them.
FROM ${BASE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/facet
COPY requirements/autoscaler.txt requirements/
RUN /opt/build/bin/pip --python /opt/facet install --no-deps --require-hashes -r requirements/autoscaler.txt

FROM packages AS source
COPY requirements/build.txt requirements/
RUN /opt/build/bin/pip install --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
# Only workers read the weights of the test model.
RUN /opt/build/bin/pip install --no-deps --no-build-isolation --target /opt/source . \
 && rm -r /opt/source/bin /opt/source/facet/nano/*/model.safetensors

FROM ${BASE}
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir /var/lib/facet --shell /usr/sbin/nologin facet \
 && install -d -m 0770 -o 10001 -g 0 /var/lib/facet
COPY --from=packages /opt/facet /opt/facet
COPY --from=source /opt/source /opt/facet/lib/python3.11/site-packages
# USER and LOGNAME answer for UIDs without a passwd entry.
ENV PATH=/opt/facet/bin:$PATH \
    HOME=/var/lib/facet USER=facet LOGNAME=facet \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    FACET_AUTOSCALER_LISTEN=0.0.0.0:8472 \
    FACET_AUTOSCALER_HEALTH_LISTEN=0.0.0.0:8473 \
    FACET_AUTOSCALER_OTLP_LISTEN=0.0.0.0:4317 \
    FACET_AUTOSCALER_METRICS_LISTEN=0.0.0.0:9464
VOLUME ["/tmp"]
WORKDIR /var/lib/facet
USER 10001:0
# KEDA; the kubelet.
EXPOSE 4317 8472 8473 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-m", "facet.core.health_probe", "127.0.0.1:8473"]
ENTRYPOINT ["python", "-m", "facet.autoscaler"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="facet-autoscaler" \
      org.opencontainers.image.description="Autoscaler of Facet" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
