"""Faust's clients prove themselves to Kafka as all the others do."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from services.core.clock import ManualClock
from services.core.errors import ConfigError
from services.core.holds import SenderHolds
from services.core.signals import Signals
from services.runtime.fakes import MemoryBus
from services.runtime.kafka_security import client_settings
from services.signals.app import Counting, Ports, credentials
from services.signals.config import SignalsConfig

NAMED = {"GATEPOST_KAFKA_USERNAME": "gatepost", "GATEPOST_KAFKA_PASSWORD": "secret"}


async def no_pause(seconds: float) -> None:
    """Never called: the app isn't started."""


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_they_are_given_what_the_others_are_given(protocol: str, mechanism: str) -> None:
    environ = {"GATEPOST_KAFKA_PROTOCOL": protocol, "GATEPOST_KAFKA_MECHANISM": mechanism, **NAMED}
    given, expected = dict(credentials_to_aiokafka_auth(credentials(environ))), client_settings(environ)
    contexts = [settings.pop("ssl_context") for settings in (given, expected)]
    assert given == expected
    if not protocol.endswith("SSL"):
        assert contexts == [None, None]
        return
    for context in contexts:
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_plain_text_needs_none() -> None:
    assert credentials({}) is None


def test_a_name_without_a_password_is_refused() -> None:
    with pytest.raises(ConfigError, match="SASL_SSL needs USERNAME and PASSWORD"):
        credentials({"GATEPOST_KAFKA_PROTOCOL": "SASL_SSL", "GATEPOST_KAFKA_USERNAME": "gatepost"})


def test_the_app_takes_them_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"GATEPOST_KAFKA_PROTOCOL": "SASL_SSL", **NAMED}.items():
        monkeypatch.setenv(name, value)
    clock = ManualClock()
    ports = Ports("broker.test:9093", MemoryBus(), clock, Signals(), SenderHolds(), no_pause, tmp_path)
    used = credentials_to_aiokafka_auth(Counting(SignalsConfig(), ports).app.conf.broker_credentials)
    assert used["security_protocol"] == "SASL_SSL"
    assert used["sasl_plain_username"] == "gatepost"
