"""Recipients from a directory and a table as an operator has them: the customers file, `gatepost up`, the commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.gatepost import House
from tests.house.sender import plain, send
from tests.house.sink import Sink
from tests.house.slapd import ADMIN, BASE, PASSWORD, Slapd, person
from tests.integration.backing import arguments, environ

CONFIG = """
customers:
  - id: acme
    domains:
      - {{name: acme.test, relay: ["127.0.0.1:{relay}"], recipients: directory}}
    directory:
      - name: office
        url: ldap://localhost:{ldap}
        base: {base}
        bind_dn: {admin}
        password_env: GATEPOST_LDAP_OFFICE
        ca_file: ca.pem
        drop_percent: 60
"""


@pytest.fixture
async def slapd(tmp_path: Path) -> AsyncIterator[Slapd]:
    server = Slapd(tmp_path / "slapd")
    server.load(person("anna", mail="anna@acme.test"), person("ben", mail="ben@acme.test"))
    async with server:
        yield server


async def test_up_reads_the_directory_and_the_commands_sync_import_and_tell(
    tmp_path: Path, sink: Sink, slapd: Slapd
) -> None:
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(relay=sink.port, ldap=slapd.port, base=BASE, admin=ADMIN))
    secrets = {
        **environ(),
        "GATEPOST_LDAP_OFFICE": PASSWORD,
        "GATEPOST_DIRECTORY_SECRETS": str(slapd.secrets),
        "GATEPOST_DIRECTORY_RETRY_SECONDS": "0.2",
    }
    house = House(
        tmp_path / "data", free_ports(1)[0], "--config", str(config), *arguments(tmp_path.name), environ=secrets
    )

    async def taken(name: str) -> bool:
        message = plain("hello")
        reply = await send(house.port, message, recipients=[f"{name}@acme.test"])
        return reply.code == 250

    async with house:
        await eventually(lambda: taken("anna"), within=20)
        assert not await taken("dora")

        await slapd.change(person("dora", mail="dora@acme.test"))
        await slapd.delete("ben")
        answer = await house.gatepost("directory", "sync", "--customer", "acme")
        assert (answer.code, answer.err) == (0, "")
        assert "acme ldap:office: addresses: 2" in answer.out
        await eventually(lambda: taken("dora"))
        assert not await taken("ben")

        table = tmp_path / "people.csv"
        table.write_bytes(b"\xef\xbb\xbfname;mail\nBen;ben@acme.test\nAnna;anna@acme.test\n")
        command = ("directory", "import-csv", "--customer", "acme")
        answer = await house.gatepost(*command, "--dry-run", str(table))
        assert answer.out.splitlines() == [
            "rows: 2, addresses: 2, repeated: 0",
            "would add 2 and remove 0; nothing was changed",
        ]
        assert not await taken("ben")
        assert (await house.gatepost(*command, str(table))).code == 0
        await eventually(lambda: taken("ben"))

        table.write_text("anna@acme.test\n17 words\n")
        answer = await house.gatepost(*command, str(table))
        assert answer.code == 2
        assert answer.err.startswith(f"gatepost: {table}:2: '17 words' is not an address")
        table.write_text("anna@acme.test\nx@acme.test\ny@acme.test\nz@acme.test\n")
        assert (await house.gatepost(*command, str(table))).code == 0  # one of two may go
        table.write_text("anna@acme.test\n")
        answer = await house.gatepost(*command, str(table))
        assert (answer.code, "3 of 4 addresses would go" in answer.err) == (1, True)
        assert await taken("z")
        assert (await house.gatepost(*command, "--force", str(table))).code == 0

        await slapd.stop()
        answer = await house.gatepost("directory", "sync")
        assert (answer.code, "no connection" in answer.out) == (1, True)
        answer = await house.gatepost("directory", "status")
        csv, office = answer.out.splitlines()[1:]
        assert csv.split()[:3] == ["acme", "csv", "1"]
        assert office.split()[:3] == ["acme", "ldap:office", "2"]
        assert "no connection" in office
        assert await taken("dora")
        assert (await house.gatepost("customers", "apply", str(config))).code == 0
        assert await taken("dora")
    assert any("event=directory-synced" in line for line in house.log)
    assert [line for line in house.log if "Traceback" in line or "anna" in line or PASSWORD in line] == []
