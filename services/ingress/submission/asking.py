"""Asking a client for its certificate, where some customer's is known by one.

OpenSSL ends a handshake with a certificate that nothing vouches for, and there are MTAs that show theirs to everybody
who asks. So only strangers are asked, and who showed an unknown one is not asked again for a day: it comes back, and
signs in with its password.
"""

from __future__ import annotations

import _ssl
import base64
import hashlib
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from services.core.client_certificates import Shown, shown
from services.core.clock import Clock
from services.ingress.certificates import EVERY, Certificates, Mark
from services.ingress.config import IngressConfig

log = logging.getLogger("gatepost.submission")

NOT_AGAIN_FOR: Final = 86_400.0  # seconds
_KEPT_MOST: Final = 10_000  # addresses, and chains, that are remembered


K = TypeVar("K")
V = TypeVar("V")


class Asking(Certificates):
    """The door's certificates in contexts that ask for the client's, and trust what customers named."""

    def __init__(
        self, config: IngressConfig, clock: Clock, anchors: Callable[[], tuple[str, ...]], *, every: float = EVERY
    ) -> None:
        """`anchors` returns base64 of DER."""
        super().__init__(config, clock, every=every)
        self._anchors = anchors
        self._loaded: tuple[str, ...] = ()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._verified: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()  # chains by the client's certificate

    async def start(self) -> ssl.SSLContext | None:
        """See Certificates."""
        context = await super().start()
        if context is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def of(self, ip: str) -> ssl.SSLContext | None:
        """Return the context for a client that is to be asked, None for one that isn't."""
        if not self._loaded or self._unknown.get(ip, 0.0) > self._clock.monotonic():
            return None
        return self.context

    def unknown(self, ip: str) -> None:
        """Remember that the client has a certificate which says nothing here."""
        log.info("client=%s event=unknown-certificate", ip)
        _keep(self._unknown, ip, self._clock.monotonic() + NOT_AGAIN_FOR)

    def shown(self, engine: ssl.SSLObject) -> Shown | None:
        """Return what the client showed, None for nothing. Of a resumed session TLS has the certificate alone."""
        own = engine.getpeercert(binary_form=True)
        if own is None:
            return None
        found = engine._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]  # public since Python 3.13
        chain = tuple(each.public_bytes(_ssl.ENCODING_DER) for each in found)
        if chain:
            _keep(self._verified, own, chain)
        return shown(chain or self._verified.get(own, (own,)))

    async def _load(self) -> None:
        await super()._load()
        wanted = self._anchors()
        for context in filter(None, (self._default, *self._named.values())):
            for each in wanted:
                try:
                    context.load_verify_locations(cadata=base64.b64decode(each))
                except ssl.SSLError as error:  # one customer's certificate must not shut the door for the others
                    log.error("event=certificate-not-trusted reason=%s", error.reason)
            # What a customer names is trusted by itself, whoever signed it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._loaded = wanted

    def _marks(self) -> tuple[Mark, ...]:
        digest = hashlib.sha256("\0".join(self._anchors()).encode()).hexdigest()
        return (*super()._marks(), (digest, 0, 0, 0))


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _KEPT_MOST:
        kept.popitem(last=False)
