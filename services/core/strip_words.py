"""What stands where an attachment was taken out of a message."""

from __future__ import annotations

from typing import Final

from services.core.heading import printable

NAME_MOST: Final = 120  # characters of a name that are shown
_TEXTS: Final = {
    "en": {
        "removed": "An attachment was taken out of this message before it was delivered.",
        "unclear": "A part of this message was taken out before it was delivered: it can be read in more than one way.",
        "signed": "This message was signed. Since an attachment was taken out, the signature does not hold any more "
        "and was taken out too.",
        "name": "Name",
        "size": "Size",
        "octets": "octets",
        "why": "Why",
        "rule": "the rule {rule} of your organisation takes out {what}",
        "all": "all attachments",
        "dangerous": "files that act when they are opened",
        "sealed": "what is encrypted or sealed",
        "packed": "archives that hold {what}",
        "nameless": "(none)",
    },
    "it": {
        "removed": "Un allegato è stato rimosso da questo messaggio prima della consegna.",
        "unclear": "Una parte di questo messaggio è stata rimossa prima della consegna: si può leggere in più modi.",
        "signed": "Questo messaggio era firmato. Poiché un allegato è stato rimosso, la firma non è più valida ed è "
        "stata rimossa anch'essa.",
        "name": "Nome",
        "size": "Dimensione",
        "octets": "byte",
        "why": "Motivo",
        "rule": "la regola {rule} della vostra organizzazione rimuove {what}",
        "all": "tutti gli allegati",
        "dangerous": "i file che agiscono quando vengono aperti",
        "sealed": "ciò che è cifrato o sigillato",
        "packed": "gli archivi che contengono {what}",
        "nameless": "(nessuno)",
    },
}


def removed(name: str, octets: int, pattern: str, rule: str, language: str, *, packed: bool = False) -> str:
    """Return the note of one file that matched the pattern; `packed`: as an archive that holds such a file."""
    texts = _TEXTS.get(language, _TEXTS["en"])
    what = texts.get(pattern, pattern) if pattern in {"all", "dangerous", "sealed"} else pattern
    why = texts["packed"].format(what=what) if packed else what
    return "\n".join(
        [
            texts["removed"],
            "",
            f"{texts['name']}: {printable(name, NAME_MOST) or texts['nameless']}",
            f"{texts['size']}: {octets} {texts['octets']}",
            f"{texts['why']}: {texts['rule'].format(rule=printable(rule, NAME_MOST), what=why)}",
        ]
    )


def unclear(rule: str, what: str, language: str) -> str:
    """Return the note of a part that readers may take for one thing or another."""
    texts = _TEXTS.get(language, _TEXTS["en"])
    said = texts.get(what, what)
    return f"{texts['unclear']}\n\n{texts['why']}: {texts['rule'].format(rule=printable(rule, NAME_MOST), what=said)}"


def signed(language: str) -> str:
    """Return the note in the place of a signature."""
    return _TEXTS.get(language, _TEXTS["en"])["signed"]
