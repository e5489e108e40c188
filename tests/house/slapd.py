"""A real slapd on loopback, with its own folder, schema and certificates."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.runtime.ports import free_ports
from tests.parts import lacking

BASE = "dc=acme,dc=test"
ADMIN = f"cn=admin,{BASE}"
PASSWORD = "correct horse"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
CERTS = "certs"

_ARC = "1.3.6.1.4.1.4203.666.77"  # OpenLDAP's own arc for experiments
SCHEMA = f"""
attributetype ( {_ARC}.1 NAME 'mailAlternateAddress' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( {_ARC}.2 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( {_ARC}.3 NAME 'objectGUID' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( {_ARC}.4 NAME 'uSNChanged' EQUALITY integerMatch ORDERING integerOrderingMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( {_ARC}.5 NAME 'supportedCapabilities' EQUALITY objectIdentifierMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )
attributetype ( {_ARC}.6 NAME 'highestCommittedUSN' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )
attributetype ( {_ARC}.7 NAME 'dsServiceName' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
objectclass ( {_ARC}.8 NAME 'mailThing' SUP top AUXILIARY
  MAY ( mail $ mailAlternateAddress $ proxyAddresses $ objectGUID $ uSNChanged ) )
objectclass ( {_ARC}.9 NAME 'controllerRoot' SUP top AUXILIARY
  MAY ( supportedCapabilities $ highestCommittedUSN $ dsServiceName ) )
"""
ROOTS = f"""dn: {BASE}
objectClass: dcObject
objectClass: organization
dc: acme
o: Acme

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups
"""


def program(name: str) -> str:
    """Return the path of one of slapd's programs; without it the test is skipped, and fails when CI=true."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/openldap")
    if found is None:
        lacking(f"{name} is missing; .ci/install-slapd installs Debian's packages slapd and ldap-utils")
    return found


def entry(dn: str, classes: Iterable[str], attributes: Mapping[str, str | bytes | Iterable[str]]) -> str:
    """Return an entry as LDIF."""
    lines = [f"dn: {dn}", *(f"objectClass: {name}" for name in classes)]
    for name, values in attributes.items():
        if isinstance(values, bytes):
            lines.append(f"{name}:: {_base64(values)}")
            continue
        lines += [
            f"{name}: {value}" if value.isascii() else f"{name}:: {_base64(value.encode())}"
            for value in ([values] if isinstance(values, str) else values)
        ]
    return "\n".join(lines) + "\n"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def person(name: str, **attributes: str | bytes | Iterable[str]) -> str:
    """Return a person as LDIF."""
    return entry(
        f"uid={name},{PEOPLE}", ("inetOrgPerson", "mailThing"), {"uid": name, "cn": name, "sn": name, **attributes}
    )


def group(name: str, **attributes: str | Iterable[str]) -> str:
    """Return a group as LDIF."""
    return entry(
        f"cn={name},{GROUPS}", ("groupOfNames", "mailThing"), {"cn": name, "member": f"uid=x,{PEOPLE}", **attributes}
    )


class Slapd:
    """A server that can be stopped and started again on the same ports and data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = free_ports(2)
        self._process: asyncio.subprocess.Process | None = None
        (folder / "data").mkdir(parents=True)
        _make_certificates(folder / CERTS)
        (folder / "test.schema").write_text(SCHEMA)
        self.root_entry("")

    @property
    def secrets(self) -> Path:
        """The folder with the certificate to trust, ca.pem, and another authority's, other.pem."""
        return self.folder / CERTS

    def root_entry(self, ldif: str) -> None:
        """Say what the server's root entry has beside its own; it takes effect at the next start."""
        (self.folder / "root.ldif").write_text(ldif)
        certs, schema = self.secrets, Path("/etc/ldap/schema")
        (self.folder / "slapd.conf").write_text(
            "\n".join(
                [
                    *(f"include {schema / name}.schema" for name in ("core", "cosine", "inetorgperson")),
                    f"include {self.folder / 'test.schema'}",
                    f"pidfile {self.folder / 'slapd.pid'}",
                    "modulepath /usr/lib/ldap",
                    "moduleload back_mdb",
                    *([f"rootDSE {self.folder / 'root.ldif'}"] if ldif else []),
                    f"TLSCACertificateFile {certs / 'ca.pem'}",
                    f"TLSCertificateFile {certs / 'server.pem'}",
                    f"TLSCertificateKeyFile {certs / 'server.key'}",
                    "sizelimit size.soft=1000 size.hard=1000 size.prtotal=unlimited",  # only paging reads more
                    "database mdb",
                    f'suffix "{BASE}"',
                    f'rootdn "cn=root,{BASE}"',
                    f'rootpw "{PASSWORD}"',
                    f"directory {self.folder / 'data'}",
                    "maxsize 268435456",
                    "dbnosync",
                    "index objectClass,entryUUID,modifyTimestamp,uSNChanged eq",
                    f'access to * by dn.exact="{ADMIN}" read by anonymous auth by * none',
                    "",
                ]
            )
        )

    def load(self, *ldif: str) -> None:
        """Put entries into the data while the server is not running."""
        file = self.folder / "load.ldif"
        admin = entry(ADMIN, ("organizationalRole", "simpleSecurityObject"), {"cn": "admin", "userPassword": PASSWORD})
        fresh = not (self.folder / "data" / "data.mdb").exists()
        file.write_text("\n".join([*((ROOTS, admin) if fresh else ()), *ldif]))
        done = subprocess.run(
            [program("slapadd"), "-q", "-f", str(self.folder / "slapd.conf"), "-l", str(file)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr

    async def start(self) -> None:
        """Start the server and return when it takes connections."""
        with (self.folder / "slapd.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program("slapd"),
                *("-f", str(self.folder / "slapd.conf"), "-d", "0"),
                *("-h", f"ldap://127.0.0.1:{self.port} ldap://127.0.0.2:{self.port} ldaps://127.0.0.1:{self.tls_port}"),
                stdout=log,
                stderr=log,
            )
        for _ in range(500):
            assert self._process.returncode is None, (self.folder / "slapd.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            await asyncio.sleep(0.02)
        raise AssertionError("slapd does not listen")

    async def stop(self) -> None:
        """Stop it; that it wasn't running is fine."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), 20)

    async def __aenter__(self) -> Slapd:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def change(self, ldif: str) -> None:
        """Change the running server's data: LDIF as ldapmodify takes it; plain entries are added."""
        process = await asyncio.create_subprocess_exec(
            program("ldapmodify"),
            *("-a", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", f"cn=root,{BASE}", "-w", PASSWORD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(ldif.encode()), 30)
        assert process.returncode == 0, out.decode()

    async def delete(self, *names: str) -> None:
        """Delete people."""
        await self.change("\n".join(f"dn: uid={name},{PEOPLE}\nchangetype: delete\n" for name in names))


def _make_certificates(folder: Path) -> None:
    """Make ca.pem, the server's certificate by it for localhost and 127.0.0.1, and the certificate of a stranger."""
    folder.mkdir()
    ca_key, ca = _authority("Gatepost test authority")
    _, other = _authority("Another authority")
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = (
        _builder("localhost", "Gatepost test authority", key)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    for name, certificate in (("ca", ca), ("other", other), ("server", server)):
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
    )


def people(count: int) -> Iterator[str]:
    """Yield people as LDIF whose last change lies a while back, each at another time; every fourth has an alias."""
    began = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    for number in range(count):
        stamp = f"{began + datetime.timedelta(minutes=number):%Y%m%d%H%M%SZ}"
        more = {"mailAlternateAddress": f"alias{number}@acme.test"} if number % 4 == 0 else {}
        yield person(
            f"user{number}",
            mail=f"user{number}@acme.test",
            createTimestamp=stamp,
            modifyTimestamp=stamp,
            **more,
        )
