"""Asking a client for its certificate, where some customer's is known by one.

OpenSSL ends a handshake with a certificate that nothing vouches for, and there are MTAs that show theirs to everybody
who asks. So only strangers are asked, and who showed an unknown one is not asked again for a day: it comes back, and
signs in with its password.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from services.core.clock import Clock
from services.ingress.certificates import EVERY, Certificates, Mark
from services.ingress.config import IngressConfig

log = logging.getLogger("gatepost.submission")

NOT_AGAIN_FOR: Final = 86_400.0  # seconds
_UNKNOWN_MOST: Final = 10_000  # addresses that are remembered


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
        self._unknown[ip] = self._clock.monotonic() + NOT_AGAIN_FOR
        self._unknown.move_to_end(ip)
        while len(self._unknown) > _UNKNOWN_MOST:
            self._unknown.popitem(last=False)

    async def _load(self) -> None:
        await super()._load()
        wanted = self._anchors()
        data = b"".join(base64.b64decode(each) for each in wanted)
        for context in filter(None, (self._default, *self._named.values())):
            if data:
                context.load_verify_locations(cadata=data)
            # What a customer names is trusted by itself, whoever signed it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._loaded = wanted

    def _marks(self) -> tuple[Mark, ...]:
        digest = hashlib.sha256("\0".join(self._anchors()).encode()).hexdigest()
        return (*super()._marks(), (digest, 0, 0, 0))
