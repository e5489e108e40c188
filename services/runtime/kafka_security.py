"""How a client proves itself to Kafka and keeps others from listening: GATEPOST_KAFKA_PROTOCOL and its like."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from services.core.errors import ConfigError
from services.runtime.config import load
from services.runtime.kafka_connection import mend

PREFIX = "GATEPOST_KAFKA_"

mend()  # here, for whoever makes a client asks for its settings


class KafkaSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """The settings; without any, plain text and no name, as on a loopback."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    tls_folder: str = (
        ""  # ca.crt: who signs the brokers' certificates; tls.crt and tls.key: ours, where they ask for one
    )

    def __post_init__(self) -> None:
        if self.protocol.startswith("SASL") and not (self.username and self.password):
            raise ValueError(f"{self.protocol} needs USERNAME and PASSWORD")

    @property
    def tls(self) -> ssl.SSLContext | None:
        """Return the context for TLS, None without it; raise ConfigError for files that can't be used."""
        if not self.protocol.endswith("SSL"):
            return None
        folder = Path(self.tls_folder or os.devnull)
        authority, certificate = folder / "ca.crt", folder / "tls.crt"
        try:
            context = ssl.create_default_context(cafile=str(authority) if authority.exists() else None)
            if certificate.exists():
                context.load_cert_chain(certificate, folder / "tls.key")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{PREFIX}TLS_FOLDER: {folder}: {error.strerror or error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def read(environ: Mapping[str, str]) -> KafkaSecurity:
    """Return the settings in the environment; raise ConfigError."""
    return load(KafkaSecurity, environ, PREFIX)


def client_settings(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return what every client of aiokafka is to be given; raise ConfigError. Empty for plain text."""
    security = read(environ)
    settings: dict[str, Any] = {}
    if security.protocol != "PLAINTEXT":
        settings |= {"security_protocol": security.protocol, "ssl_context": security.tls}
    if security.protocol.startswith("SASL"):
        settings |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return settings
