"""Kafka behind TLS, with a name and a password: a real broker, a certificate of an authority of our own."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from schemas.catalog import SIGNALS
from schemas.events import Rejection, Signal
from services.core.signals import Kind
from services.runtime.kafka import KafkaBus
from services.runtime.ports import free_ports
from services.runtime.provision import ALL
from services.scanners.registry import discover
from tests.containers.conftest import KAFKA
from tests.eventually import eventually
from tests.house.gatepost import COMMAND, gatepost

JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_gatepost="a good one";'


def certificates(folder: Path) -> None:
    """Write ca.crt, and server.pem: key and certificate of a broker at 127.0.0.1."""
    now = datetime.datetime.now(datetime.UTC)

    def made(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
        )
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.crt").write_bytes(made("authority", authority, "authority", authority))
    private = server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + made("broker", server, "authority", authority))
    (folder / "server.pem").chmod(0o644)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The broker, as the environment that reaches it."""
    folder = tmp_path_factory.mktemp("certificates")
    folder.chmod(0o755)
    certificates(folder)
    (port,) = free_ports(1)
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "CLIENT://:9092,INSIDE://:9094,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"CLIENT://127.0.0.1:{port},INSIDE://localhost:9094",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CLIENT:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SASL_ENABLED_MECHANISMS": "PLAIN",
        "KAFKA_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG": JAAS,
        "KAFKA_LISTENER_NAME_CLIENT_SSL_KEYSTORE_TYPE": "PEM",
        "KAFKA_LISTENER_NAME_CLIENT_SSL_KEYSTORE_LOCATION": "/certificates/server.pem",
    }
    container = DockerContainer(KAFKA).with_bind_ports(9092, port).with_volume_mapping(str(folder), "/certificates")
    for name, value in settings.items():
        container = container.with_env(name, value)
    with container.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(60)):
        yield {
            "GATEPOST_KAFKA": f"127.0.0.1:{port}",
            "GATEPOST_KAFKA_PROTOCOL": "SASL_SSL",
            "GATEPOST_KAFKA_MECHANISM": "PLAIN",
            "GATEPOST_KAFKA_USERNAME": "gatepost",
            "GATEPOST_KAFKA_PASSWORD": "a good one",
            "GATEPOST_KAFKA_TLS_FOLDER": str(folder),
        }


async def test_provisioning_goes_through_tls_with_a_password(secured: dict[str, str]) -> None:
    made = await gatepost("provision", environ=secured)
    assert (made.code, made.out) == (0, "provisioned\n"), made.err
    there = await gatepost("await", "--within", "20", environ=secured)
    assert there.code == 0, there.err
    assert there.out == f"ready: {len(ALL)} topics, scanners {', '.join(sorted(discover()))}\n"


async def test_faust_counts_through_tls_with_a_password(
    secured: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await gatepost("provision", environ=secured)).code == 0
    for name, value in secured.items():
        monkeypatch.setenv(name, value)
    environ = {**os.environ, "GATEPOST_STORE": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(*COMMAND, "run", "signals", env=environ)
    bus = KafkaBus(secured["GATEPOST_KAFKA"], "test")
    try:
        now = time.time()
        await bus.publish(
            Rejection(client_ip="192.0.2.7", at=now, reason="unknown-recipient", reply="550 no", recipient=f"r{n}")
            for n in range(60)
        )

        async def told() -> bool:
            events = [record.event async for record in bus.read(SIGNALS)]
            return any(isinstance(event, Signal) and event.kind == Kind.HARVEST_ADDRESS for event in events)

        await eventually(told, 90.0, every=1.0)
    finally:
        await bus.close()
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    "change",
    [
        {"GATEPOST_KAFKA_PASSWORD": "a bad one"},
        {"GATEPOST_KAFKA_TLS_FOLDER": ""},  # whose authority nobody knows
    ],
)
async def test_who_is_not_known_and_who_cannot_be_trusted_end_in_one_line(
    secured: dict[str, str], change: dict[str, str]
) -> None:
    answer = await gatepost("provision", environ={**secured, **change})
    assert answer.code == 1
    (line,) = [line for line in answer.err.splitlines() if line.startswith("gatepost:")]
    assert "a bad one" not in answer.err
    assert "Traceback" not in answer.err, line
