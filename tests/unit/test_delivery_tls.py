"""What TLS a host has to come through: the customer's word, DANE, MTA-STS, and the records that say which hosts."""

from __future__ import annotations

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from schemas.events import Host
from services.core.clock import ManualClock
from services.core.errors import DnsUnavailable
from services.delivery.config import DeliveryConfig
from services.delivery.dane import usable, verify
from services.delivery.hops import Hop, Hops, NoMail, is_public
from services.delivery.sts import Sts, parse
from services.delivery.tls import Demands, Unreachable
from services.runtime.fakes_dns import FakeDns
from tests.samples import NOW

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.far.test\r\nmx: *.mail.far.test\r\nmax_age: 86400\r\n"
HOP = Hop(host="mx1.far.test", via="far.test")


class Web:
    """Serves policies, and counts who asks."""

    def __init__(self, text: bytes = POLICY) -> None:
        self.text = text
        self.down = False
        self.asked = 0

    async def __call__(self, domain: str) -> bytes:
        assert domain == "far.test"
        self.asked += 1
        if self.down:
            raise OSError("down, by order of the test")
        return self.text


def sts(web: Web, *, identity: bytes = b"1") -> tuple[Sts, FakeDns, ManualClock]:
    clock = ManualClock(NOW)
    dns = FakeDns({("_mta-sts.far.test", "TXT"): (b"v=STSv1; id=" + identity + b";",)})
    return Sts(dns, clock, web), dns, clock


def demands(dns: FakeDns, web: Web | None = None, *, validating: bool = False) -> Demands:
    config = DeliveryConfig(hostname="mx.gatepost.test", dns_validating=validating)
    return Demands(config, dns, Sts(dns, ManualClock(NOW), web or Web()))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"version: STSv2\r\nmode: enforce\r\nmx: a.test\r\nmax_age: 1\r\n",
        b"version: STSv1\r\nmode: maybe\r\nmx: a.test\r\nmax_age: 1\r\n",
        b"version: STSv1\r\nmode: enforce\r\nmax_age: 1\r\n",
        b"version: STSv1\r\nmode: enforce\r\nmx: a.test\r\nmax_age: -1\r\n",
        b"version: STSv1\r\nmode: enforce\r\nmx: a.test\r\nmax_age: 99999999999\r\n",
        b"version: STSv1\r\nmode: enforce\r\nmx: *.*.test\r\nmax_age: 1\r\n",
        b"<html>version: STSv1</html>",
    ],
)
def test_what_is_no_policy_asks_nothing(text: bytes) -> None:
    assert parse(text) is None


def test_a_policy_lists_hosts_and_one_label_for_a_star() -> None:
    policy = parse(POLICY)
    assert policy is not None
    hosts = ("mx1.far.test", "mx2.far.test", "a.mail.far.test", "mail.far.test", "b.a.mail.far.test")
    assert [policy.allows(host) for host in hosts] == [True, False, True, False, False]


async def test_a_policy_is_kept_for_its_age_and_read_anew_when_its_id_changes() -> None:
    web = Web()
    reads, dns, clock = sts(web)
    for _ in range(3):
        assert (await reads.policy("far.test")) == parse(POLICY)
    assert web.asked == 1
    web.text = POLICY.replace(b"enforce", b"testing")
    dns.zone["_mta-sts.far.test", "TXT"] = (b"v=STSv1; id=2",)
    policy = await reads.policy("far.test")
    assert policy is not None
    assert policy.mode == "testing"
    web.down = True
    dns.zone["_mta-sts.far.test", "TXT"] = (b"v=STSv1; id=3",)
    assert await reads.policy("far.test") == policy  # what can't be had leaves the last one in force
    assert await reads.policy("far.test") == policy
    assert web.asked == 3  # and isn't asked for at every message
    clock.advance(86_401)
    assert await reads.policy("far.test") is None


async def test_a_domain_without_the_record_is_not_asked() -> None:
    web = Web()
    reads, dns, _ = sts(web)
    dns.zone.clear()
    assert await reads.policy("far.test") is None
    assert web.asked == 0


async def test_mta_sts_asks_for_a_verified_host_that_is_listed() -> None:
    _, dns, _ = sts(Web())
    demand = await demands(dns).of(HOP)
    assert (demand.must, demand.lenient, demand.name) == (True, False, "mta-sts")
    with pytest.raises(Unreachable, match="does not list it"):
        await demands(dns).of(Hop(host="evil.test", via="far.test"))
    trying = demands(dns, Web(POLICY.replace(b"enforce", b"testing")))
    assert (await trying.of(HOP)).lenient
    assert not (await trying.of(Hop(host="evil.test", via="far.test"))).must
    assert not (await demands(dns).of(Host(host="mx1.far.test"))).must  # configured by hand: the domain isn't asked


@pytest.mark.parametrize(
    ("level", "must", "name"),
    [("", False, ""), ("none", False, "none"), ("required", True, "required"), ("verified", True, "verified")],
)
async def test_the_customers_word_counts_first(level: str, must: bool, name: str) -> None:
    _, dns, _ = sts(Web())
    host = Hop(host="mx1.far.test", via="far.test" if level else "", tls=level)
    demand = await demands(dns).of(host)
    assert (demand.must, demand.name) == (must, name)


async def test_a_pinned_file_that_is_not_there_lets_nothing_out() -> None:
    with pytest.raises(Unreachable, match=r"acme-ca\.pem can't be read"):
        await demands(FakeDns()).of(Host(host="mta.test", tls="pinned", ca_file="acme-ca.pem"))


# --- DANE


def certificate(
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None, name: str, *, ca: bool
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if ca:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
    return builder.sign(signer, hashes.SHA256()), key


def der(of: x509.Certificate) -> bytes:
    return of.public_bytes(serialization.Encoding.DER)


def test_dane_goes_by_the_record() -> None:
    root = certificate(None, "root", ca=True)
    leaf, _ = certificate(root, "mx1.far.test", ca=False)
    chain = [der(leaf), der(root[0])]
    key = leaf.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    itself = usable([f"3 1 1 {hashlib.sha256(key).hexdigest()}"])
    anchor = usable([f"2 0 2 {hashlib.sha512(chain[1]).hexdigest()}"])
    assert verify(itself, chain, ["another.test"]) == ""  # it is named itself: its own name says nothing more
    assert verify(anchor, chain, ["mx1.far.test"]) == ""
    assert verify(anchor, chain, ["another.test"]) != ""
    assert verify(usable(["3 1 1 " + "00" * 32]), chain, ["mx1.far.test"]) != ""
    assert verify(itself, [], ["mx1.far.test"]) == "no certificate"
    assert verify(itself, [b"junk"], ["mx1.far.test"]) != ""


def test_records_that_mean_a_public_authority_or_nothing_do_not_count() -> None:
    assert usable(["1 1 1 aa", "0 0 1 aa", "3 1 9 aa", "3 1", "junk", "3 1 1 zz"]) == ()


async def test_dane_counts_only_where_dnssec_vouches_for_all_of_it() -> None:
    record = ("3 1 1 " + "00" * 32,)
    dns = FakeDns({("mx1.far.test", "A"): ("192.0.2.9",), ("_25._tcp.mx1.far.test", "TLSA"): record})
    host = Host(host="mx1.far.test")
    assert (await demands(dns, validating=True).of(host)).name == ""
    dns.signed = {("mx1.far.test", "A")}
    assert (await demands(dns, validating=True).of(host)).name == ""
    dns.signed.add(("_25._tcp.mx1.far.test", "TLSA"))
    assert (await demands(dns, validating=True).of(host)).name == "dane"
    assert (await demands(dns, validating=False).of(host)).name == ""
    hop = Hop(host="mx1.far.test", via="near.test")
    assert (await demands(dns, validating=True).of(hop)).name == ""  # who named the host is not vouched for
    dns.zone["_25._tcp.mx1.far.test", "TLSA"] = ("1 1 1 " + "00" * 32,)
    assert (await demands(dns, validating=True).of(host)).name == "required"
    dns.silent.add("_25._tcp.mx1.far.test")
    with pytest.raises(Unreachable, match="can't be told"):
        await demands(dns, validating=True).of(host)


# --- which hosts


async def test_mx_records_are_followed_with_their_preference() -> None:
    dns = FakeDns({("far.test", "MX"): ("20 mx2.far.test", "10 mx1.far.test")})
    found = await Hops(dns).expand([Host(host="far.test", lookup="mx", tls="required")])
    assert sorted((h.preference, h.host, h.port, h.tls) for h in found) == [
        (10, "mx1.far.test", 25, "required"),
        (20, "mx2.far.test", 25, "required"),
    ]


async def test_no_mx_means_the_domain_itself_and_a_null_mx_means_no_mail() -> None:
    dns = FakeDns({("far.test", "A"): ("192.0.2.9",), ("null.test", "MX"): ("0 ",)})
    assert [h.host for h in await Hops(dns).expand([Host(host="far.test", lookup="mx")])] == ["far.test"]
    with pytest.raises(NoMail, match="null MX"):
        await Hops(dns).expand([Host(host="null.test", lookup="mx")])
    with pytest.raises(NoMail, match="no address"):
        await Hops(dns).expand([Host(host="nowhere.test", lookup="mx")])
    dns.down = True
    with pytest.raises(DnsUnavailable):
        await Hops(dns).expand([Host(host="far.test", lookup="mx")])


async def test_srv_records_name_host_and_port() -> None:
    dns = FakeDns({("_smtp._tcp.far.test", "SRV"): ("5 0 2525 mta.far.test",)})
    (found,) = await Hops(dns).expand([Host(host="_smtp._tcp.far.test", lookup="srv")])
    assert (found.host, found.port, found.preference) == ("mta.far.test", 2525, 5)


@pytest.mark.parametrize(("address", "fine"), [("8.8.8.8", True), ("127.0.0.1", False), ("10.1.2.3", False)])
def test_a_strangers_record_does_not_lead_into_our_own_network(address: str, fine: bool) -> None:
    assert is_public((0, 0, 0, "", (address, 25))) is fine
