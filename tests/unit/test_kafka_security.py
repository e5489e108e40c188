"""What a client of Kafka is given, and which settings are refused."""

from __future__ import annotations

import ast
import ssl
from pathlib import Path

import pytest

from services.core.errors import ConfigError
from services.runtime.kafka_security import client_settings

ROOT = Path(__file__).parents[2]
SASL = {"GATEPOST_KAFKA_USERNAME": "gatepost", "GATEPOST_KAFKA_PASSWORD": "secret"}


def test_without_settings_nothing_is_said() -> None:
    assert client_settings({}) == {}


def test_tls_checks_the_brokers_name() -> None:
    given = client_settings({"GATEPOST_KAFKA_PROTOCOL": "SSL"})
    context = given["ssl_context"]
    assert given.keys() == {"security_protocol", "ssl_context"}
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_name_and_a_password_without_tls() -> None:
    assert client_settings({"GATEPOST_KAFKA_PROTOCOL": "SASL_PLAINTEXT", **SASL}) == {
        "security_protocol": "SASL_PLAINTEXT",
        "ssl_context": None,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "gatepost",
        "sasl_plain_password": "secret",
    }


def test_what_cannot_be_used_is_told_without_the_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SASL_SSL needs USERNAME and PASSWORD"):
        client_settings({"GATEPOST_KAFKA_PROTOCOL": "SASL_SSL"})
    with pytest.raises(ConfigError, match="GATEPOST_KAFKA_PROTOCOL"):
        client_settings({"GATEPOST_KAFKA_PROTOCOL": "TLS"})
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(ConfigError, match="GATEPOST_KAFKA_TLS_FOLDER"):
        client_settings({"GATEPOST_KAFKA_PROTOCOL": "SSL", "GATEPOST_KAFKA_TLS_FOLDER": str(tmp_path)})


def test_no_client_is_made_without_them() -> None:
    clients = {}
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("AIOKafka"):
                clients[f"{path.relative_to(ROOT)}:{node.lineno}"] = any(
                    keyword.arg is None for keyword in node.keywords
                )  # **settings
    assert clients
    assert [place for place, given in clients.items() if not given] == []
