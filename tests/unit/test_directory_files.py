"""Tables of recipients, and the directory section of the customers file: what they mean and how mistakes are told."""

from __future__ import annotations

import pytest

from schemas.events import LdapSource
from services.core.customers import parse_customers
from services.core.directory_config import Endpoint, endpoint
from services.core.directory_csv import parse_csv
from services.core.errors import ConfigError
from services.runtime.yaml_tree import parse_tree

DOMAINS = {"acme.test", "xn--bcher-kva.test"}


def table(data: bytes) -> list[str]:
    return [str(address) for address in parse_csv(data, "people.csv", DOMAINS).addresses]


@pytest.mark.parametrize(
    "data",
    [
        b"a@acme.test\nb@acme.test\n",
        b"a@acme.test\r\nb@acme.test",
        b"\xef\xbb\xbfa@acme.test\nb@acme.test\n",
        b"Email\na@acme.test\n\n  \nb@acme.test\n",
        b"\xef\xbb\xbfname,E-Mail,room\nAnna,a@acme.test,1\nBen,b@acme.test,2\n",
        b'name;address\n"Smith; Anna";a@acme.test\nBen;b@acme.test\n',
        b"name\tmail\nA\ta@acme.test\nB\tb@acme.test\n",
        b"a@acme.test\nb@acme.test\nA@ACME.test\n",
    ],
)
def test_tables_as_people_write_them(data: bytes) -> None:
    assert table(data) == ["a@acme.test", "b@acme.test"]


def test_repeated_addresses_are_counted() -> None:
    found = parse_csv(b"a@acme.test\nA@acme.test\nj@b\xc3\xbccher.test\n", "people.csv", DOMAINS)
    assert (found.rows, found.repeated, len(found.addresses)) == (3, 1, 2)


def test_a_column_of_groups() -> None:
    data = b"email;Groups\na@acme.test;Sales Team|VIP\nb@acme.test;\nA@acme.test;Board\nc@acme.test\n"
    assert parse_csv(data, "people.csv", DOMAINS).groups == {"a@acme.test": ("sales-team", "vip", "board")}
    assert parse_csv(b"a@acme.test,Sales\n", "people.csv", DOMAINS).groups == {}  # no header says what it is


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a@acme.test\nnobody\n", "people.csv:2: 'nobody' is not an address: no @ after the local part"),
        (b"a@acme.test\n\n\nb@other.test\n", "people.csv:4: 'b@other.test' is in none of the customer's domains"),
        (b"a@acme.test\n\xff@acme.test\n", "people.csv:2: not UTF-8"),
        (b"name,mail\nAnna\n", "people.csv:2: no address in column 2"),
        (b'a@acme.test\n"b@acme.test\n', "people.csv:2: not CSV: unexpected end of data"),
        (b"", "people.csv: no address in it"),
        (b"mail\n", "people.csv: no address in it"),
        (b"mail,group\na@acme.test,???\n", "people.csv:2: '???' is no name of a group"),
        (b"a@acme.test\n\x1b[2Jx\n", "people.csv:2: '?[2Jx' is not an address: no local part"),
    ],
)
def test_a_mistake_in_a_table_names_its_line(data: bytes, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table(data)
    assert str(caught.value) == says


def directory(*lines: str) -> tuple[LdapSource, ...]:
    section = "".join(f"    {line}\n" for line in lines)
    text = (
        "customers:\n- id: acme\n  domains:\n  - {name: acme.test, relay: [mx], recipients: directory}\n  directory:\n"
    )
    (spec,) = parse_customers(parse_tree(text + section, "gatepost.yaml"))
    assert not spec.domains[0].any_recipient
    assert spec.recipients == ()
    return spec.customer.directory


def test_a_directory_with_defaults_and_one_with_everything() -> None:
    few, all_of_it = directory(
        "- {url: ldaps://Ldap.Acme.test, base: 'dc=acme,dc=test'}",
        "- name: branch",
        "  url: ldap://[2001:db8::1]:3890",
        "  base: dc=branch",
        "  filter: (&(objectClass=user)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))",
        "  attributes: [mail, proxyAddresses]",
        "  bind_dn: cn=reader,dc=branch",
        "  password_file: branch-password",
        "  ca_file: branch-ca.pem",
        "  every_minutes: 5",
        "  full_every: 10",
        "  drop_percent: 50",
    )
    assert few == LdapSource(url="ldaps://Ldap.Acme.test", base="dc=acme,dc=test")
    assert all_of_it == LdapSource(
        name="branch",
        url="ldap://[2001:db8::1]:3890",
        base="dc=branch",
        filter="(&(objectClass=user)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))",
        attributes=("mail", "proxyAddresses"),
        bind_dn="cn=reader,dc=branch",
        password_file="branch-password",
        ca_file="branch-ca.pem",
        interval_seconds=300.0,
        full_every=10,
        drop_share=0.5,
    )


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["- {base: dc=a}"], "url is missing"),
        (["- {url: 'http://ldap.acme.test', base: dc=a}"], "not ldaps://HOST[:PORT] or ldap://HOST[:PORT]"),
        (["- {url: 'ldaps://u:secret@ldap.acme.test', base: dc=a}"], "keys of their own"),
        (["- {url: 'ldaps://ldap.acme.test/dc=a??sub', base: dc=a}"], "keys of their own"),
        (["- {url: 'ldaps://ldap.acme.test:99999', base: dc=a}"], "a port from 1 to 65535"),
        (["- {url: 'ldaps://l dap', base: dc=a}"], "not the name or address of a host"),
        (["- {url: ldap://ldap.acme.test, base: dc=a, plain: yes}"], "on this machine alone"),
        (["- {url: ldaps://127.0.0.1, base: dc=a, plain: yes}"], "on this machine alone"),
        (["- {url: ldap://l.test, base: dc=a, bind_dn: cn=x}"], "neither without the other"),
        (["- {url: ldap://l.test, base: dc=a, password_env: GATEPOST_LDAP_X}"], "neither without the other"),
        (["- {url: ldap://l.test, base: dc=a, bind_dn: cn=x, password_env: AWS_SECRET_ACCESS_KEY}"], "GATEPOST_LDAP_"),
        (["- {url: ldap://l.test, base: dc=a, bind_dn: cn=x, password_file: ../shadow}"], "folder of secrets"),
        (["- {url: ldap://l.test, base: dc=a, bind_dn: cn=x, password_file: ..}"], "folder of secrets"),
        (["- {url: ldap://l.test, base: dc=a, ca_file: /etc/ca.pem}"], "folder of secrets"),
        (["- {url: ldap://l.test, base: dc=a, password: secret}"], "unknown key 'password'"),
        (["- {url: ldap://l.test, base: dc=a, filter: 'mail=*'}"], "not a filter"),
        (["- {url: ldap://l.test, base: dc=a, filter: '(mail=*)(uid=*)'}"], "not a filter"),
        (["- {url: ldap://l.test, base: dc=a, every_minutes: 0}"], "not between 1 and 1440"),
        (["- {url: ldap://l.test, base: dc=a}", "- {url: ldap://m.test, base: dc=a}"], "a second directory named ldap"),
    ],
)
def test_a_mistake_in_a_directory_names_its_place(lines: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        directory(*lines)
    assert str(caught.value).startswith("gatepost.yaml:")
    assert says in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_where_urls_point() -> None:
    assert endpoint("ldaps://Ldap.Bücher.test") == Endpoint(True, "ldap.xn--bcher-kva.test", 636)
    assert endpoint("ldap://10.0.0.9") == Endpoint(False, "10.0.0.9", 389)
    assert endpoint("ldap://[::1]:3890/") == Endpoint(False, "::1", 3890)
