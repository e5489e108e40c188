# The one image of every service; the argument chooses which: `docker run gatepost run ingress`. Builds with and without
# BuildKit. The broker that `gatepost up` embeds is not in it: a container is given its Kafka. There is no shell in it:
# `kubectl debug` brings one.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils >/dev/null
WORKDIR /src
RUN python -m venv /opt/gatepost
COPY requirements-image.lock ./
RUN /opt/gatepost/bin/pip install --quiet --no-compile --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY services services
RUN /opt/gatepost/bin/pip install --quiet --no-compile --no-deps --no-build-isolation .
COPY deploy/image deploy/image
RUN /opt/gatepost/bin/pip uninstall --quiet --yes hatchling editables pathspec pluggy trove-classifiers tomlkit pip setuptools \
    && python deploy/image/thin.py prune /opt/gatepost \
    && python deploy/image/thin.py root /root-fs /opt/gatepost \
    && cp deploy/image/bytecode.py /root-fs/tmp/ \
    && chroot /root-fs /opt/gatepost/bin/python /tmp/bytecode.py \
    && chroot /root-fs /opt/gatepost/bin/python /tmp/bytecode.py \
    && rm /root-fs/tmp/bytecode.py

FROM scratch
COPY --from=build /root-fs /
# Nothing is written beside what is mounted: the root file system may be read-only.
ENV PATH=/opt/gatepost/bin:/usr/local/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt GATEPOST_LOG_LEVEL=INFO
USER 10001:10001
WORKDIR /tmp
EXPOSE 2525 9464
ENTRYPOINT ["/opt/gatepost/bin/gatepost"]
CMD ["--help"]
