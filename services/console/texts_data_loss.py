"""What people read about data-loss rules, in both languages: a part of `texts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DATA_LOSS: Final[Mapping[str, tuple[str, str]]] = {
    "dlp.title": ("Data loss", "Perdita di dati"),
    "dlp.hint": (
        "What must not leave unseen. These rules come before the others for outgoing mail; those that stop, first.",
        "Ciò che non deve uscire inosservato. Precedono le altre regole in uscita; per prime quelle che fermano.",
    ),
    "dlp.rule.new": ("New data-loss rule", "Nuova regola sulla perdita di dati"),
    "dlp.rule.title": ("Data-loss rule {name}", "Regola sulla perdita di dati {name}"),
    "dlp.name.hint": ("A letter, then a-z, 0-9 and -", "Una lettera, poi a-z, 0-9 e -"),
    "dlp.bad": ("This is no rule: {reason}", "Regola non valida: {reason}"),
    "dlp.looks-for": ("What it looks for", "Che cosa cerca"),
    "dlp.looks-for.hint": (
        "Any of these counts: in subject, text, names and contents of attachments, and archives.",
        "Basta uno: in oggetto, testo, nomi e contenuto degli allegati, e archivi.",
    ),
    "dlp.where": ("Where it applies", "Dove si applica"),
    "dlp.everywhere": ("all outgoing mail", "tutta la posta in uscita"),
    "dlp.numbers": ("Numbers with a check digit", "Numeri con cifra di controllo"),
    "dlp.number.card": ("payment card", "carta di pagamento"),
    "dlp.number.iban": ("IBAN", "IBAN"),
    "dlp.number.it-codice-fiscale": ("codice fiscale (Italy)", "codice fiscale"),
    "dlp.number.de-steuer-id": ("Steuer-ID (Germany)", "Steuer-ID (Germania)"),
    "dlp.number.fr-nir": ("NIR (France)", "NIR (Francia)"),
    "dlp.number.es-nif": ("NIF or NIE (Spain)", "NIF o NIE (Spagna)"),
    "dlp.number.nl-bsn": ("BSN (Netherlands)", "BSN (Paesi Bassi)"),
    "dlp.number.pl-pesel": ("PESEL (Poland)", "PESEL (Polonia)"),
    "dlp.number.gb-nhs": ("NHS number (UK)", "numero NHS (Regno Unito)"),
    "dlp.number.ch-ahv": ("AHV number (Switzerland)", "numero AVS (Svizzera)"),
    "dlp.words": ("Words and phrases", "Parole e frasi"),
    "dlp.words.hint": ("One a line, whatever their case", "Una per riga; maiuscole e minuscole non contano"),
    "dlp.patterns": ("Expressions (RE2)", "Espressioni (RE2)"),
    "dlp.patterns.hint": (
        "One a line, such as (?i)project\\s+zebra",
        "Una per riga, ad esempio (?i)progetto\\s+zebra",
    ),
    "dlp.files": ("Files by their SHA-256", "File secondo il loro SHA-256"),
    "dlp.files.hint": ("One a line, as sha256sum prints it", "Uno per riga, come lo stampa sha256sum"),
    "dlp.count.patterns": ("expressions: {count}", "espressioni: {count}"),
    "dlp.count.words": ("words: {count}", "parole: {count}"),
    "dlp.count.files": ("files: {count}", "file: {count}"),
    "dlp.unread": (
        "what can't be looked into: encrypted, broken, too much",
        "ciò che non si può esaminare: cifrato, guasto, troppo",
    ),
    "dlp.at-least": ("How many different ones", "Quanti diversi"),
    "dlp.at-least.said": ("{count} different ones", "{count} diversi"),
    "dlp.senders.hint": (
        "One a line: an address or @domain of yours; none: all",
        "Uno per riga: un proprio indirizzo o @dominio; nessuno: tutti",
    ),
    "dlp.bcc.hint": (
        "One a line, in your domains: a copy of what goes out or is blocked",
        "Uno per riga, nei propri domini: copia di ciò che esce o è bloccato",
    ),
    "dlp.then.block": ("don't send it, and tell its sender", "non inviare, e avvisa il mittente"),
    "dlp.then.quarantine": ("hold in quarantine", "trattiene in quarantena"),
    "dlp.then.encrypt": ("only over verified TLS", "solo con TLS verificato"),
    "dlp.then.copy": ("send, and copy", "invia, con copia"),
    "dlp.unknown": (
        "No message is kept to be looked into again: what {names} would have met in past mail is not known.",
        "Nessun messaggio è conservato per riesaminarlo: non si sa che cosa vi avrebbe trovato {names}.",
    ),
}
