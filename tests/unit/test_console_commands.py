"""The commands: an operator let in, customers out as YAML, and keys for licences."""

from __future__ import annotations

import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from services.cli import console, licence
from services.cli.site import Site
from services.console.book import Author
from services.console.config import ConsoleConfig, Neighbours
from services.console.roles import Role
from services.console.tables import AUDIT
from services.core.customers import parse_customers
from services.core.errors import ConfigError
from services.delivery.config import DeliveryConfig, smarthosts
from services.runtime.config import load
from services.runtime.yaml_tree import parse_tree, read_tree
from tests.house.console import BASE, PASSWORD, ConsoleHouse, console_house

EXAMPLE = Path(__file__).parents[2] / "docs" / "gatepost.example.yaml"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        yield house


def site(house: ConsoleHouse) -> Site:
    return Site(kafka="", store="", smtp="", database=house.book.database.url.render_as_string())


async def test_an_operator_is_let_in_by_the_link_and_again_by_a_new_one(
    house: ConsoleHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEPOST_CONSOLE_URL", BASE)
    first = await console.operator(site(house), "Op@service.test", "it")
    link = await console.operator(site(house), "Op@service.test", "it")
    assert first != link
    found = re.fullmatch(rf"{BASE}(/link/\S+)", link)
    assert found is not None
    browser = house.browser()
    house.clock.advance(1e9)  # the link is as old as the machine's clock says
    assert (await browser.get(found[1])).status == 404
    house.clock.advance(-1e9)
    assert (await browser.post(found[1], {"password": PASSWORD, "again": PASSWORD})).status == 303
    assert '<html lang="it">' in (await browser.get("/customers")).text
    await house.customer("acme")
    await house.person(Role.OWNER)
    with pytest.raises(ConfigError, match="an account of acme"):
        await console.operator(site(house), "owner@acme.test", "en")
    with pytest.raises(ConfigError, match="not an e-mail address"):
        await console.operator(site(house), "nobody", "en")


async def test_what_is_kept_comes_out_as_a_customers_file(house: ConsoleHouse) -> None:
    specs = parse_customers(read_tree(EXAMPLE))
    await house.desk.customers.take_in(specs, Author("test"))
    text = await console.export(site(house), ())
    found = parse_customers(parse_tree(text, "exported"))
    assert [(spec.customer, sorted(spec.recipients)) for spec in found] == [
        (spec.customer, sorted(spec.recipients)) for spec in specs
    ]
    assert "globex" not in await console.export(site(house), ("acme",))
    with pytest.raises(ConfigError, match="keeps no customer nobody"):
        await console.export(site(house), ("nobody",))


async def test_of_an_account_that_sends_the_audit_log_has_the_name_and_no_hash(house: ConsoleHouse) -> None:
    specs = parse_customers(read_tree(EXAMPLE))
    await house.desk.customers.take_in(specs, Author("test"))
    async with house.book.reading() as connection:
        said = " ".join((await connection.scalars(select(AUDIT.c.after))).all())
    assert "mta@acme.example" in said
    assert "argon2" not in said


def test_keys_are_made_once_and_licences_say_what_they_give(tmp_path: Path) -> None:
    path = tmp_path / "licence.key"
    public = licence.make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = licence.issue(path, "acme", 50, 365)
    assert re.search(r"acme, 50 users", licence.show(key, public))
    with pytest.raises(ConfigError, match="is there already"):
        licence.make_key(path)
    other = licence.make_key(tmp_path / "other.key")
    for wrong, of in ((key, other), (key, "AAAA"), ("x", public)):
        with pytest.raises(ConfigError):
            licence.show(wrong, of)
    with pytest.raises(ConfigError, match="No such file"):
        licence.issue(tmp_path / "none.key", "acme", 1, 1)
    path.write_text("short")
    with pytest.raises(ConfigError, match="32 octets"):
        licence.issue(path, "acme", 1, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"GATEPOST_CONSOLE_URL": "console.test"},
        {"GATEPOST_CONSOLE_URL": "https://console.test/path"},
        {"GATEPOST_CONSOLE_URL": "ftp://console.test"},
        {"GATEPOST_CONSOLE_MX": "mx.console.test"},
        {"GATEPOST_CONSOLE_NETWORKS": "e u:192.0.2.0/24"},
        {"GATEPOST_CONSOLE_TRIAL_DAYS": "0"},
    ],
)
def test_a_wrong_setting_is_told_at_the_start(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        load(ConsoleConfig, settings, "GATEPOST_CONSOLE_")


def test_regions_hosts_and_networks_are_as_written() -> None:
    said = {
        "GATEPOST_CONSOLE_MX": "eu:mx1.gp.test,us:mx.us.gp.test,eu:mx2.gp.test",
        "GATEPOST_CONSOLE_NETWORKS": "eu:192.0.2.0/24,eu:2001:db8::/48",
    }
    config = load(ConsoleConfig, said, "GATEPOST_CONSOLE_")
    assert config.regions == ("eu", "us")
    assert config.mx_of("eu", "gp.test") == ("mx1.gp.test", "mx2.gp.test")
    assert config.mx_of("nowhere", "gp.test") == ("gp.test",)
    assert config.networks_of("eu") == ("192.0.2.0/24", "2001:db8::/48")
    with pytest.raises(ConfigError, match="licence_public_key"):
        load(Neighbours, {"GATEPOST_LICENCE_PUBLIC_KEY": "AAAA"})


def test_the_smarthost_is_a_host_or_a_mistake() -> None:
    assert smarthosts("") == ()
    (host,) = load(DeliveryConfig, {"GATEPOST_HOSTNAME": "gp.test", "GATEPOST_SMARTHOST": "[::1]:587"}).smarthosts()
    assert (host.host, host.port) == ("::1", 587)
    with pytest.raises(ConfigError):
        load(DeliveryConfig, {"GATEPOST_HOSTNAME": "gp.test", "GATEPOST_SMARTHOST": "a b"})
