# The gateway: gRPC front of Facet. Build from the repository root:
#   docker build -f docker/gateway.Dockerfile -t facet-gateway .
# Runs as UID 10001, as any other UID of group 0 too, and with a read-only root file system.
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Locks come before the source: a change of code reuses the layer of the packages.
COPY requirements/build.txt requirements/gateway.txt requirements/
RUN python -m venv /opt/facet \
 && /opt/facet/bin/python -m pip install --no-deps --require-hashes -r requirements/gateway.txt \
 && python -m pip install --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheels . \
 && /opt/facet/bin/python -m pip install --no-deps --no-index /tmp/wheels/*.whl

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="facet-gateway" \
      org.opencontainers.image.description="gRPC gateway of Facet" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --gid 0 --home-dir /var/lib/facet --create-home --shell /usr/sbin/nologin facet \
 && chmod 0770 /var/lib/facet
COPY --from=build /opt/facet /opt/facet
# USER and LOGNAME answer for UIDs without a passwd entry.
ENV PATH=/opt/facet/bin:$PATH \
    HOME=/var/lib/facet USER=facet LOGNAME=facet \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    FACET_GATEWAY_LISTEN=0.0.0.0:8470
VOLUME ["/tmp"]
WORKDIR /var/lib/facet
USER 10001:0
EXPOSE 8470
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-m", "facet.core.health_probe", "127.0.0.1:8470"]
ENTRYPOINT ["python", "-m", "facet.gateway"]
