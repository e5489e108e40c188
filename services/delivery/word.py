"""The mail that tells somebody that a rule applied: what was done, to what, and why; never the message itself. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from schemas.events import Action, Branch, Customer, Disposition, Received
from services.core.data_loss import met
from services.core.headers import clean, field

NAMES_MOST: Final = 20  # recipients that are named
_TEXTS: Final = {
    "en": {
        "subject": "A message was {done}",
        "intro": "One of your rules asks that you are told of this message.",
        Action.DELIVER: "delivered",
        Action.QUARANTINE: "held in quarantine",
        Action.DELETE: "deleted",
        "refused": "not sent, and its sender told why",
        "done": "Done",
        "rule": "Rule that decided",
        "why": "Why",
        "from": "From",
        "to": "To",
        "title": "Subject",
        "when": "Received",
        "client": "Came from",
        "id": "Message",
        "more": "and {count} more",
    },
    "it": {
        "subject": "Un messaggio è stato {done}",
        "intro": "Una regola chiede di avvisare di questo messaggio.",
        Action.DELIVER: "consegnato",
        Action.QUARANTINE: "trattenuto in quarantena",
        Action.DELETE: "eliminato",
        "refused": "non inviato, e il mittente avvisato",
        "done": "Esito",
        "rule": "Regola che ha deciso",
        "why": "Motivo",
        "from": "Da",
        "to": "A",
        "title": "Oggetto",
        "when": "Ricevuto",
        "client": "Proveniente da",
        "id": "Messaggio",
        "more": "e altri {count}",
    },
}


def word(disposition: Disposition, branch: Branch, notice: Received, customer: Customer | None) -> bytes:
    """Return the message that `notice` is the event of, in the language of the customer's digests."""
    texts = _TEXTS["it" if customer is not None and customer.digest.language == "it" else "en"]
    received = disposition.received
    done = texts["refused"] if branch.refuse else texts[branch.action]
    names = ", ".join(branch.recipients[:NAMES_MOST])
    more = len(branch.recipients) - NAMES_MOST
    lines = {
        "done": done,
        "rule": branch.rule,
        "why": branch.reason,
        "from": received.envelope.reverse_path or "<>",
        "to": names + (f" {texts['more'].format(count=more)}" if more > 0 else ""),
        "title": received.subject if not met(disposition.evidence) else "-",  # it may be what must not leave
        "when": _date(received.received_at),
        "client": received.envelope.client_ip,
        "id": received.id,
    }
    body = [texts["intro"], ""]
    body += [f"{texts[name]}: {clean(said)}" for name, said in lines.items()]
    (address,) = notice.envelope.recipients
    return b"".join(
        [
            field("From", f"Gatepost <postmaster@{notice.server}>"),
            b"To: <" + address.encode() + b">\r\n",
            field("Subject", texts["subject"].format(done=done)),
            field("Date", _date(notice.received_at)),
            field("Message-ID", f"<{notice.id}@{notice.server}>"),
            field("Auto-Submitted", "auto-generated"),
            field("MIME-Version", "1.0"),
            field("Content-Type", "text/plain; charset=utf-8"),
            field("Content-Transfer-Encoding", "8bit"),
            b"\r\n",
            "\r\n".join([*body, ""]).encode(),
        ]
    )


def _date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC))
