"""Configuration: one struct, one line when it can't be read, and never the value in it."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from services.core.errors import ConfigError
from services.ingress import config as ingress
from services.runtime.config import load


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 25
    wait: float = 1.5
    loud: bool = False
    hosts: tuple[str, ...] = ()
    folder: str | None = None


def test_every_kind_of_field_is_read() -> None:
    environ = {
        "GATEPOST_NAME": " mx ",
        "GATEPOST_PORT": "26",
        "GATEPOST_WAIT": "2",
        "GATEPOST_LOUD": "true",
        "GATEPOST_HOSTS": "a, b,",
        "GATEPOST_FOLDER": "data",
        "GATEPOST_OTHER": "another's",
    }
    assert load(Sample, environ) == Sample(name="mx", port=26, wait=2.0, loud=True, hosts=("a", "b"), folder="data")


def test_what_is_missing_or_empty_has_its_default() -> None:
    assert load(Sample, {"X_NAME": "mx", "X_PORT": ""}, "X_") == Sample(name="mx")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "GATEPOST_NAME: must be set"),
        ({"GATEPOST_NAME": "a", "GATEPOST_PORT": "pass-word"}, "GATEPOST_PORT: Expected `int`"),
        ({"GATEPOST_NAME": "a", "GATEPOST_PORT": "65536"}, "GATEPOST_PORT: Expected `int` <= 65535"),
        ({"GATEPOST_NAME": "a", "GATEPOST_LOUD": "perhaps"}, "GATEPOST_LOUD: Expected `bool`"),
    ],
)
def test_what_can_not_be_used_is_named_in_one_line(environ: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(Sample, environ)
    assert str(refused.value).startswith(named)
    assert "\n" not in str(refused.value)
    assert "pass-word" not in str(refused.value)


def test_ingress_reads_its_own_and_refuses_half_a_certificate() -> None:
    assert ingress.read({"GATEPOST_INGRESS_MAX_SIZE": "1000"}).max_size == 1000
    with pytest.raises(ConfigError, match="CERT and KEY"):
        ingress.read({"GATEPOST_INGRESS_CERT": "cert.pem"})
    with pytest.raises(ConfigError, match="GATEPOST_INGRESS_HOSTNAME"):
        ingress.read({"GATEPOST_INGRESS_HOSTNAME": "mx\r\nevil"})
