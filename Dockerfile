# The one image of every service; the argument chooses which: `docker run gatepost run ingress`. Builds with and without
# BuildKit. The broker that `gatepost up` embeds is not in it: a container is given its Kafka.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/gatepost
COPY requirements-image.lock ./
RUN /opt/gatepost/bin/pip install --quiet --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY services services
RUN /opt/gatepost/bin/pip install --quiet --no-deps --no-build-isolation . \
    && /opt/gatepost/bin/pip uninstall --quiet --yes hatchling editables pip setuptools \
    && find /opt/gatepost -depth -type d \( -name tests -o -name test \) -exec rm -rf {} +

FROM ${PYTHON}
COPY --from=build /opt/gatepost /opt/gatepost
# Nothing is written beside what is mounted: the root file system may be read-only.
ENV PATH=/opt/gatepost/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 GATEPOST_LOG_LEVEL=INFO
USER 10001:10001
WORKDIR /tmp
EXPOSE 2525 9464
ENTRYPOINT ["/opt/gatepost/bin/gatepost"]
CMD ["--help"]
