"""What a rule, a disclaimer and a lapsed licence change in a message on its way out; most change nothing."""

from __future__ import annotations

import dataclasses

from schemas.events import Branch, Customer, Disclaimer, Disposition
from services.core.direction import outbound
from services.core.headers import header_end
from services.core.lapse import notice_of, set_out
from services.core.stamp import may_be_stamped, stamp
from services.core.strip import Wanted, strip


@dataclasses.dataclass(frozen=True, slots=True)
class Changed:
    """The message, the very same object where it stays as it is; the names of what was taken out of it."""

    message: bytes | memoryview
    removed: tuple[str, ...] = ()
    notice: str = ""  # of a lapse: said in a field too


def by_rule(message: bytes | memoryview, branch: Branch, language: str) -> Changed:
    """Return the message without the attachments and with the text that its rules ask for."""
    removed: tuple[str, ...] = ()
    if branch.strip:
        done = strip(message, Wanted(branch.strip, branch.packed, branch.rule, language))
        message, removed = done.message, done.removed
    return Changed(stamp(message, Disclaimer(text=branch.stamp)), removed)


def changed(
    message: bytes | memoryview, disposition: Disposition, branch: Branch, customer: Customer | None, now: float
) -> Changed:
    """Return the message as its recipients get it, but for fields of the header.

    A notice is put into the body unless a signature that holds would not hold any more.
    """
    received = disposition.received
    done = by_rule(message, branch, language_of(customer))
    if customer is not None and outbound(received):
        return dataclasses.replace(done, message=stamp(done.message, customer.outbound.disclaimer))
    notice = notice_of(customer, received, now)
    if not notice:
        return done
    broken = done.message is not message
    if broken or may_be_stamped(bytes(message[: header_end(message)]), disposition.auth_results):
        return dataclasses.replace(done, message=stamp(done.message, set_out(notice)), notice=notice)
    return dataclasses.replace(done, notice=notice)


def language_of(customer: Customer | None) -> str:
    """Return the language in which a customer's people are told things."""
    return "en" if customer is None else customer.digest.language
