"""The neighbours of a real installation, in containers: Kafka, S3, clamd, rspamd.

Without a Docker engine these tests are skipped with that reason; with CI=true they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException
from testcontainers.community.minio import MinioContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from services.runtime.ports import free_ports
from tests.parts import lacking

KAFKA = os.environ.get("GATEPOST_TEST_KAFKA_IMAGE", "apache/kafka:4.4.0")
# MinIO's images left the public registries: whoever has none names another here.
MINIO = os.environ.get("GATEPOST_TEST_MINIO_IMAGE", "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z")
CLAMAV = os.environ.get("GATEPOST_TEST_CLAMAV_IMAGE", "clamav/clamav:1.4")
RSPAMD = os.environ.get("GATEPOST_TEST_RSPAMD_IMAGE", "rspamd/rspamd:3.4")


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Docker answers, or the reason why these tests say nothing."""
    try:
        client = docker.from_env()
        client.ping()
        client.close()
    except DockerException as error:
        lacking(f"no Docker engine answers: {error}")


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Apache's own image, one node."""
    (port,) = free_ports(1)
    container = (
        DockerContainer(KAFKA)
        .with_bind_ports(9092, port)
        .with_env("KAFKA_NODE_ID", "1")
        .with_env("KAFKA_PROCESS_ROLES", "broker,controller")
        .with_env("KAFKA_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093")
        .with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://127.0.0.1:{port}")
        .with_env("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
        .with_env("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT")
        .with_env("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093")
        .with_env("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1")
        .with_env("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
        .waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(60))
    )
    with container:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """An S3 server, as the environment variables that name it."""
    container = MinioContainer(image=MINIO).with_env("MINIO_FS_OSYNC", "on")
    with container:
        given = container.get_config()
        yield {
            "GATEPOST_S3_ENDPOINT": f"http://{given['endpoint']}",
            "AWS_ACCESS_KEY_ID": given["access_key"],
            "AWS_SECRET_ACCESS_KEY": given["secret_key"],
        }


@pytest.fixture(scope="session")
def clamd() -> Iterator[tuple[DockerContainer, str]]:
    """clamd, and its address. The port is chosen first: it stays over a stop and a start."""
    (port,) = free_ports(1)
    with DockerContainer(CLAMAV).with_bind_ports(3310, port) as container:
        yield container, f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def rspamd() -> Iterator[str]:
    """rspamd's address for scans."""
    (port,) = free_ports(1)
    with DockerContainer(RSPAMD).with_bind_ports(11333, port):
        yield f"http://127.0.0.1:{port}"
