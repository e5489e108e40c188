"""What recipients read, in their languages. A language is complete or a test fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("en", "it")

_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "digest.subject": ("{count} held messages", "{count} messaggi trattenuti"),
    "digest.subject.one": ("1 held message", "1 messaggio trattenuto"),
    "digest.intro": (
        "These messages to {recipient} were held. Open one to see it safely, and to have it delivered.",
        "Questi messaggi per {recipient} sono stati trattenuti. Aprine uno per vederlo al sicuro e farlo recapitare.",
    ),
    "digest.more": (
        "{more} more are held; these are the newest.",
        "Altri {more} sono trattenuti; questi sono i più recenti.",
    ),
    "digest.open": ("Open", "Apri"),
    "digest.why": (
        "Your organisation's mail is checked by Gatepost. Opening a link delivers nothing.",
        "La posta della tua organizzazione è controllata da Gatepost. Aprire un collegamento non recapita nulla.",
    ),
    "from": ("From", "Da"),
    "to": ("To", "A"),
    "subject": ("Subject", "Oggetto"),
    "reason": ("Reason", "Motivo"),
    "held": ("Held", "Trattenuto"),
    "until": ("Kept until", "Conservato fino al"),
    "attachments": ("Attachments", "Allegati"),
    "no-subject": ("(no subject)", "(senza oggetto)"),
    "no-text": ("This message has no text to show.", "Questo messaggio non ha testo da mostrare."),
    "images": (
        "Images and links to other servers are not loaded.",
        "Le immagini e i contenuti di altri server non vengono caricati.",
    ),
    "release": ("Deliver this message", "Recapita questo messaggio"),
    "release.hint": (
        "It is scanned for viruses once more, and then delivered to you.",
        "Viene controllato ancora una volta contro i virus e poi recapitato.",
    ),
    "ask": ("Ask for its delivery", "Chiedi di recapitarlo"),
    "ask.hint": (
        "Your administrators decide on mail like this. They are told that you ask for it.",
        "Su messaggi come questo decidono i tuoi amministratori. Sapranno che lo chiedi.",
    ),
    "done.ask": (
        "Your administrators were asked to deliver it.",
        "È stato chiesto agli amministratori di recapitarlo.",
    ),
    "delete": ("Delete it", "Eliminalo"),
    "report-clean": ("This is not spam", "Non è spam"),
    "report-spam": ("This is spam", "È spam"),
    "done.release": ("The message is on its way to you.", "Il messaggio è in arrivo."),
    "done.delete": ("The message was deleted.", "Il messaggio è stato eliminato."),
    "done.report-clean": ("Thank you: noted as not spam.", "Grazie: segnato come non spam."),
    "done.report-spam": ("Thank you: noted as spam.", "Grazie: segnato come spam."),
    "gone": ("This message is no longer held.", "Questo messaggio non è più trattenuto."),
    "bad-link": ("This link is not valid, or is too old.", "Questo collegamento non è valido o è scaduto."),
    "unreadable": ("This message can't be shown.", "Questo messaggio non può essere mostrato."),
    "try-later": ("Please try again in a minute.", "Riprova tra un minuto."),
    "state.held": ("held", "trattenuto"),
    "state.releasing": ("being scanned once more", "in corso di nuovo controllo"),
    "state.release-stopped": ("not delivered: a virus was found", "non recapitato: trovato un virus"),
    "state.released": ("delivered", "recapitato"),
    "state.deleted": ("deleted", "eliminato"),
    "state.expiring": ("expired", "scaduto"),
    "state.expired": ("expired", "scaduto"),
}


def text(key: str, language: str, **values: object) -> str:
    """Return the text in the language, English where it is none of ours. Raises KeyError for a key that isn't there."""
    return raw(key, language).format(**values)


def raw(key: str, language: str) -> str:
    """Return the text with its gaps."""
    return _TEXTS[key][LANGUAGES.index(language) if language in LANGUAGES else 0]


def keys() -> list[str]:
    """Return every key."""
    return list(_TEXTS)
