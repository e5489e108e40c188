"""All that can be said of who sent a message: one look at SPF, DKIM, DMARC and ARC, the questions asked together."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Final

from services.core.clock import Clock
from services.core.networks import networks
from services.runtime.dns import Dns
from services.scanners.auth import arc, dkim, dmarc, spf
from services.scanners.auth.lookups import Lookups
from services.scanners.mail import Mail
from services.scanners.text import unfolded

_NO_CHAIN: Final = arc.Result("none")


@dataclasses.dataclass(frozen=True, slots=True)
class Authentication:
    """The results.

    `forwarded_by` and `forwarder`: the trusted sealer whose chain, and the trusted host that, explains why DMARC fails
    here; empty: none does.
    """

    spf: spf.Result
    dkim: tuple[dkim.Result, ...]
    dmarc: dmarc.Result
    arc: arc.Result
    from_fields: int
    forwarded_by: str = ""
    forwarder: str = ""

    @property
    def forwarded(self) -> bool:
        """Whether it fails because somebody who is trusted forwarded the message."""
        return bool(self.forwarded_by or self.forwarder)


async def authenticate(
    mail: Mail, dns: Dns, clock: Clock, sealers: Collection[str] = (), forwarders: tuple[str, ...] = ()
) -> Authentication:
    """Return who speaks for the message. What DNS didn't answer is a temperror; nothing raises.

    `sealers`: domains whose ARC seals are believed (RFC 8617 section 7.2: whom to believe is local policy).
    `forwarders`: networks of hosts that the customer knows to forward what others wrote.
    """
    envelope = mail.received.envelope
    values = [unfolded(value) for value in mail.values("from")]
    domain, problem = dmarc.author_domain(values)
    signatures = dkim.signatures(mail.fields)
    chain = arc.read(mail.fields)
    lookups = Lookups(dns, clock)
    sender = envelope.reverse_path.rpartition("@")[2] if envelope.reverse_path else envelope.helo
    await lookups.ask(
        [
            *((item.key_name, "TXT") for item in signatures if not item.problem),
            *((name, "TXT") for name in chain.key_names),
            *((name, "TXT") for name in (dmarc.names(domain) if domain else ())),
            (sender.rstrip(".").lower(), "TXT"),
        ]
    )
    spf_result = await lookups.spf(envelope.client_ip, envelope.reverse_path, envelope.helo)
    verifier = dkim.Verifier(mail.fields, bytes(mail.tree.body), clock.now())
    results = [verifier.check(item, lookups.texts(item.key_name)) for item in signatures]
    of_chain = arc.evaluate(chain, verifier, lookups.texts) if chain.sets or chain.problem else _NO_CHAIN
    of_domain = _dmarc(domain, problem, lookups, spf_result, results, mail.id)
    forwarded = arc.vouches(chain, of_chain, domain, sealers) if of_domain.result == "fail" else ""
    ip = envelope.client_ip
    forwarder = ip if of_domain.result == "fail" and not forwarded and ip in networks(forwarders) else ""
    return Authentication(spf_result, tuple(results), of_domain, of_chain, len(values), forwarded, forwarder)


def _dmarc(
    domain: str,
    problem: str,
    lookups: Lookups,
    spf_result: spf.Result,
    dkim_results: list[dkim.Result],
    message: str,
) -> dmarc.Result:
    if problem:
        return dmarc.Result("permerror", "", reason=problem)
    for number, name in enumerate(dmarc.names(domain)):
        records = lookups.texts(name)
        if records is None:
            return dmarc.Result("temperror", domain)
        record = dmarc.read(records, subdomain=number > 0)
        if record:
            return dmarc.evaluate(domain, record, spf_result, dkim_results, message)
    return dmarc.Result("none", domain)
