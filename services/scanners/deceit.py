"""The built-in rules for phishing: who the sender claims to be, what he promises, and how he hides it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Final

from services.scanners.auth.dmarc import delegated, organizational
from services.scanners.facts import Facts, mailbox
from services.scanners.free_mail import FREE_MAIL
from services.scanners.lures import fold
from services.scanners.rule import Rule
from services.scanners.urls.known import BRANDS, FORM_BUILDERS, FREE_HOSTING, ROLES, SHORTENERS

_MACHINE: Final = frozenset(
    {"root", "www-data", "apache", "nobody", "httpd", "ubuntu", "www", "nginx", "daemon", "admin"}
)
_NOT_A_HOST = re.compile(
    r"localhost|localdomain|\.local\Z|\.internal\Z|\.lan\Z|ubuntu|debian|vps|vmi\d|ip-\d|server\d|\Aec2", re.IGNORECASE
)
_NEVER_DELEGATED: Final = frozenset(  # RFC 6761, and what networks of one's own are called
    {
        "test",
        "example",
        "invalid",
        "localhost",
        "local",
        "localdomain",
        "internal",
        "lan",
        "home",
        "corp",
        "intern",
        "intra",
    }
)
_WORDS = re.compile(r"[^\W_]+")
_VOWELS: Final = frozenset("aeiouyäöüáéíóúàèìòùâêîôûãõ")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}")
_EMOJI = re.compile("[\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001faff]")
_OPENING: Final = 60  # characters of the text
_TINY: Final = 400  # characters of a text that only carries a link or a picture
_HIDDEN_FROM: Final = 300  # characters
_MARKED: Final = 60  # letters
_OWN_PLACES: Final = frozenset({*FREE_MAIL, "amazonses.com", "sendgrid.net", "mailgun.org"})


def _brand(name: str, domain: str) -> str:
    """Return the brand that a name claims and whose domain isn't the sender's, empty when there is none."""
    if not name or not domain:
        return ""
    words = _WORDS.findall(fold(name.lower()))
    claims = {*words, *(first + second for first, second in itertools.pairwise(words))}
    own = organizational(domain)
    for claim in claims:
        owners = _CLAIMS.get(claim)
        if owners and own not in owners and claim != own.partition(".")[0]:
            return str(claim)
    return ""


def _brand_name(facts: Facts) -> bool:
    return bool(_brand(facts.from_name, facts.from_domain))


def _brand_lure(facts: Facts) -> bool:
    """A well-known name in subject or address, a lure, and no link to where that name is at home."""
    claimed = _brand(facts.subject, facts.from_domain) or _brand(facts.from_local, facts.from_domain)
    if not claimed or not _lured(facts, 2) or facts.count("in-reply-to"):
        return False
    return not any(organizational(link.host) in _CLAIMS[claimed] for link in facts.links)


def _brand_signs(facts: Facts) -> bool:
    """The text opens with a brand's name and lures, and neither the sender nor a link has to do with the brand."""
    claimed = _brand(facts.words[:_OPENING], facts.from_domain)
    if not claimed or not _lured(facts, 1) or facts.count("in-reply-to") or facts.count("list-id"):
        return False
    return bool(facts.links) and not any(organizational(link.host) in _CLAIMS[claimed] for link in facts.links)


def _lured(facts: Facts, least: int) -> bool:
    return sum(facts.lures.get(kind, 0) for kind in _DANGEROUS) >= least


def _says(kind: str, least: int) -> Callable[[Facts], bool]:
    return lambda facts: facts.lures.get(kind, 0) >= least


def _hurry(facts: Facts) -> bool:
    return facts.lures.get("urgency", 0) >= 1 and _lured(facts, 1)


def _call_to_click(facts: Facts) -> bool:
    return facts.lures.get("click", 0) >= 1 and _lured(facts, 1) and bool(facts.links)


def _many_lures(facts: Facts) -> bool:
    return sum(1 for kind in (*_DANGEROUS, "offer", "urgency", "click") if facts.lures.get(kind)) >= 4  # noqa: PLR2004  # of eleven


def _hosted(names: frozenset[str]) -> Callable[[Facts], bool]:
    def test(facts: Facts) -> bool:
        own = organizational(facts.from_domain) if facts.from_domain else ""
        return any(
            link.host in names or any(link.host.endswith("." + name) for name in _below(link.host, names))
            for link in facts.links
            if organizational(link.host) != own
        )

    return test


def _below(host: str, names: frozenset[str]) -> list[str]:
    labels = host.split(".")
    return [name for start in range(1, len(labels) - 1) if (name := ".".join(labels[start:])) in names]


def _form(facts: Facts) -> bool:
    return any(
        link.host in FORM_BUILDERS or f"{link.host}{link.url.partition(link.host)[2][:6]}" in FORM_BUILDERS
        for link in facts.links
    )


def _return_path(facts: Facts) -> str:
    return facts.mail.received.envelope.reverse_path or facts.mail.header("return-path").strip("<> ")


def _machine_sender(facts: Facts) -> bool:
    path = _return_path(facts)
    local, _, domain = path.lower().rpartition("@")
    identity = facts.mail.header("message-id").rpartition("@")[2].strip("<> ")[:255]
    unnamed = bool(identity) and bool(_NOT_A_HOST.search(identity)) and identity.lower() != facts.from_domain
    return (local in _MACHINE and organizational(domain) != organizational(facts.from_domain or "-")) or unnamed


def _id_elsewhere(facts: Facts) -> bool:
    domain = facts.mail.header("message-id").rpartition("@")[2].strip("<> ")[:255].lower()
    return bool(domain and facts.from_domain) and organizational(domain) != organizational(facts.from_domain)


def _return_elsewhere(facts: Facts) -> bool:
    path = _return_path(facts)
    domain = path.rpartition("@")[2].lower()[:255]
    if not domain or not facts.from_domain or facts.count("list-id"):
        return False
    return organizational(domain) != organizational(facts.from_domain)


def _return_nowhere(facts: Facts) -> bool:
    """Bounces go to a domain that can't exist; names of one's own network and for tests are no deception."""
    domain = _return_path(facts).rpartition("@")[2].lower().rstrip(".")[:255]
    top = domain.rpartition(".")[2]
    return top.isalpha() and "." in domain and top not in _NEVER_DELEGATED and not delegated(domain)


def _nonsense(word: str) -> bool:
    """Return whether a label looks like chance: no vowels, consonants in a row, digits among letters."""
    letters = sum(char.isalpha() for char in word)
    turns = sum(a.isdigit() != b.isdigit() for a, b in itertools.pairwise(word))
    if len(word) >= 16 and turns >= 3:  # noqa: PLR2004  # longer than names are
        return True
    if letters >= 7 and not _VOWELS.intersection(word):  # noqa: PLR2004  # an abbreviation is shorter
        return True
    return bool(_CONSONANTS.search(word)) or turns >= 4  # noqa: PLR2004  # a year at the end is one turn


def _sender_nonsense(facts: Facts) -> bool:
    return _nonsense(facts.from_local.split("+")[0][:64])


def _domain_nonsense(facts: Facts) -> bool:
    return any(_nonsense(label) for label in facts.from_domain.split(".")[:-1])


def _false_answer(facts: Facts) -> bool:
    return bool(re.match(r"\s*(?:re|aw|sv|fwd?|wg|tr)\s*:", facts.subject, re.IGNORECASE)) and not (
        facts.count("in-reply-to") or facts.count("references")
    )


def _answer_lures(facts: Facts) -> bool:
    return _false_answer(facts) and _lured(facts, 2)


def _role_lures(facts: Facts) -> bool:
    """Support, security and the like, and no word of whose: whoever writes for somebody says for whom."""
    words = set(_WORDS.findall(fold(facts.from_name)))
    return bool(words) and words <= ROLES and _lured(facts, 2)


def _three_mailboxes(facts: Facts) -> bool:
    """Sender, answers and bounces are three free mailboxes: nobody honest needs as many."""
    path = _return_path(facts)
    addresses = {f"{facts.from_local}@{facts.from_domain}", facts.reply, path.lower()}
    return len(addresses) == 3 and all(one.rpartition("@")[2] in FREE_MAIL for one in addresses)  # noqa: PLR2004  # three


def _reply_nonsense(facts: Facts) -> bool:
    """Answers go to another domain than the sender's, to a mailbox whose name was made by chance."""
    local, _, domain = facts.reply.rpartition("@")
    if not domain or not facts.from_domain or organizational(domain) == organizational(facts.from_domain):
        return False
    return _nonsense(local.split("+")[0][:64])


def _reader_named(facts: Facts) -> bool:
    """The reader's own address, or its local part, in subject: a machine filled it in."""
    addresses = [*facts.mail.received.envelope.recipients, mailbox(next(iter(facts.mail.values("to")), b""))[1]]
    subject = facts.subject.lower()
    return any(len(one) > 4 and one.lower() in subject for one in addresses)  # noqa: PLR2004  # a@b.c


def _hidden(facts: Facts) -> bool:
    return facts.hidden > max(_HIDDEN_FROM, len(facts.words) // 4)


def _unseen(facts: Facts) -> bool:
    return facts.unseen >= 3  # noqa: PLR2004  # one may be a slip


def _foreign(least: int) -> Callable[[Facts], bool]:
    return lambda facts: facts.foreign >= least


def _needlessly_encoded(facts: Facts) -> bool:
    """Text that needs no base64 and comes in it hides from whoever doesn't decode."""
    for part in facts.mail.parts:
        if part.encoding == "base64" and part.content_type in {"text/plain", "text/html"} and not part.gap:
            data = part.data
            if len(data) > _MARKED and data.isascii():
                return True
    return False


def _subject_encoded(facts: Facts) -> bool:
    raw = next(iter(facts.mail.values("subject")), b"")
    return b"=?" in raw and facts.mail.header("subject").isascii()


def _emoji(facts: Facts) -> bool:
    return bool(_EMOJI.search(facts.subject) or _EMOJI.search(facts.mail.header("from")))


def _picture_link(facts: Facts) -> bool:
    return "img" in facts.tags and bool(facts.links) and len(facts.words.strip()) < _TINY and not facts.plain.strip()


def _bare_link(facts: Facts) -> bool:
    return 0 < len(facts.links) <= 3 and len(facts.words.strip()) < _TINY and not facts.count("in-reply-to")  # noqa: PLR2004  # a note and its link


def _links_elsewhere(facts: Facts) -> bool:
    own = organizational(facts.from_domain) if facts.from_domain else ""
    return bool(facts.links) and not any(organizational(link.host) == own for link in facts.links)


def _no_way_out(facts: Facts) -> bool:
    """Bulk in look, and none of what honest bulk has."""
    if not facts.html or not facts.links or facts.count("in-reply-to") or facts.count("list-unsubscribe"):
        return False
    return _links_elsewhere(facts) and "img" in facts.tags


def _foreign_host(facts: Facts) -> bool:
    sender = facts.mail.header("sender")[:300].rpartition("@")[2].strip("<> ").lower()
    return bool(sender and facts.from_domain) and organizational(sender) != organizational(facts.from_domain)


def _page_attached(facts: Facts) -> bool:
    return any(
        part.filename.lower().endswith((".html", ".htm", ".shtml", ".xhtml", ".svg"))
        for part in facts.mail.parts
        if part.filename
    )


def _name_shouts(facts: Facts) -> bool:
    shown = mailbox(next(iter(facts.mail.values("from")), b""))[0]
    return sum(map(str.isalpha, shown)) >= 5 and shown.isupper()  # noqa: PLR2004  # DHL isn't shouting


def _name_unlike_address(facts: Facts) -> bool:
    """Nothing of the name is in the address: a role or a brand at a stranger's domain."""
    words = [word for word in _WORDS.findall(fold(facts.from_name)) if len(word) >= 3]  # noqa: PLR2004  # of, Dr
    address = re.sub(r"[^a-z0-9]", "", f"{facts.from_local}{facts.from_domain}")
    return bool(words) and not any(word[:4] in address for word in words) and not facts.count("list-id")


def _several_recipients_hidden(facts: Facts) -> bool:
    to = facts.mail.header("to")[:500].lower()
    sender = f"{facts.from_local}@{facts.from_domain}"
    return bool(facts.from_local) and sender in to and not facts.mail.header("cc")


_DANGEROUS: Final = ("account", "delivery", "money", "crypto", "mailbox", "document", "prize", "business", "extortion")
_TOO_COMMON: Final = frozenset({"apple", "chase", "ledger", "booking", "outlook", "kraken", "zelle", "blockchain"})
_CLAIMS: Final = {name: domains for name, domains in BRANDS.items() if name not in _TOO_COMMON}

RULES: Final[tuple[Rule, ...]] = (
    Rule("BRAND_IN_NAME", 6.0, "the sender calls itself a brand and writes from elsewhere", _brand_name, True, True),
    Rule("BRAND_LURE", 4.0, "a brand's name and a lure, and the sender is a stranger to it", _brand_lure, True),
    Rule("BRAND_SIGNS", 2.0, "a brand's name opens the text, and nothing leads to the brand", _brand_signs, True),
    Rule("LURE_ACCOUNT", 1.0, "an account is said to be in danger", _says("account", 1), True),
    Rule("LURE_ACCOUNT_MORE", 2.0, "an account is said to be in danger, again and again", _says("account", 3), True),
    Rule("LURE_DELIVERY", 1.0, "a parcel that waits for an address or a fee", _says("delivery", 1), True),
    Rule("LURE_MONEY", 0.5, "a refund, an invoice or a charge to act on", _says("money", 1), True),
    Rule("LURE_CRYPTO", 1.5, "coins and wallets", _says("crypto", 1), True),
    Rule("LURE_MAILBOX", 0.5, "a mailbox that is full or holds mail back", _says("mailbox", 1), True),
    Rule("LURE_DOCUMENT", 0.5, "a document, fax or voice message to open", _says("document", 1), True),
    Rule("LURE_PRIZE", 0.5, "a prize, points or a gift to claim", _says("prize", 1), True),
    Rule("LURE_OFFER", 0.5, "cures, loans, romance or bargains", _says("offer", 1)),
    Rule("LURE_OFFER_MORE", 1.0, "cures, loans, romance or bargains, again and again", _says("offer", 2)),
    Rule("LURE_ROMANCE", 1.5, "strangers who wait to be met", _says("romance", 1), True),
    Rule(
        "LURE_INHERITANCE",
        6.0,
        "a death, a fortune, a bank and a plea: an advance-fee fraud",
        _says("inheritance", 4),
        True,
    ),
    Rule("LURE_BUSINESS", 0.5, "a favour, a fortune or a stranger's proposal", _says("business", 1), True),
    Rule("LURE_BUSINESS_MORE", 2.0, "a stranger's proposal in the words of a fraud", _says("business", 2), True),
    Rule("LURE_EXTORTION", 3.0, "a threat to publish", _says("extortion", 2), True),
    Rule("HURRY", 0.5, "no time to think", _hurry, True),
    Rule("CALL_TO_CLICK", 0.5, "a lure with a button", _call_to_click, True),
    Rule("MANY_LURES", 1.0, "lures of many kinds", _many_lures, True),
    Rule("LINK_FREE_HOSTING", 3.0, "a link to a page that anybody puts up", _hosted(FREE_HOSTING), True, True),
    Rule("LINK_SHORTENED", 2.5, "a link that hides where it leads", _hosted(SHORTENERS), True, True),
    Rule("LINK_FORM", 3.0, "a link to a form that anybody makes", _form, True, True),
    Rule("LINKS_ELSEWHERE", 1.5, "every link leads away from the sender", _links_elsewhere),
    Rule("SENT_BY_MACHINE", 4.0, "sent by a server that nobody gave a name", _machine_sender, True),
    Rule("ID_ELSEWHERE", 1.0, "a Message-ID of another domain than the sender's", _id_elsewhere),
    Rule("RETURN_ELSEWHERE", 1.0, "bounces go to another domain than the sender's", _return_elsewhere),
    Rule("RETURN_NOWHERE", 4.0, "bounces go to a domain that can't exist", _return_nowhere, True),
    Rule("SENDER_ELSEWHERE", 1.0, "Sender is of another domain than From", _foreign_host),
    Rule("SENDER_NONSENSE", 2.0, "the sender's name was made by chance", _sender_nonsense),
    Rule("DOMAIN_NONSENSE", 2.5, "the sender's domain was made by chance", _domain_nonsense, True),
    Rule("NAME_SHOUTS", 1.0, "the sender's name is in capitals", _name_shouts),
    Rule("NAME_UNLIKE_ADDRESS", 1.0, "nothing of the sender's name is in the address", _name_unlike_address),
    Rule("FALSE_ANSWER", 1.5, "an answer to nothing", _false_answer),
    Rule("FALSE_ANSWER_LURES", 2.5, "a lure that poses as an answer", _answer_lures, True),
    Rule("ROLE_LURES", 1.5, "a lure from a mere role", _role_lures, True),
    Rule("THREE_MAILBOXES", 6.0, "sender, answers and bounces are three free mailboxes", _three_mailboxes, True),
    Rule("REPLY_NONSENSE", 2.0, "answers go elsewhere, to a name made by chance", _reply_nonsense, True),
    Rule("READER_IN_SUBJECT", 2.0, "the subject holds the reader's address", _reader_named, True),
    Rule("TO_SENDER", 1.5, "the sender writes to itself, the readers are hidden", _several_recipients_hidden),
    Rule("TEXT_NOT_SHOWN", 2.0, "much text that isn't shown", _hidden, True),
    Rule("LETTERS_UNSEEN", 3.0, "letters without width inside words", _unseen, True),
    Rule("LETTERS_MIXED", 3.0, "words in letters of two alphabets", _foreign(1), True),
    Rule("LETTERS_MIXED_MORE", 5.0, "many words in letters of two alphabets", _foreign(6), True),
    Rule("TEXT_ENCODED", 1.5, "plain letters in base64", _needlessly_encoded),
    Rule("SUBJECT_ENCODED", 1.0, "a subject encoded without need", _subject_encoded),
    Rule("SUBJECT_EMOJI", 1.5, "pictures in the subject", _emoji),
    Rule("PICTURE_LINK", 2.5, "a picture to click and hardly a word", _picture_link, True),
    Rule("BARE_LINK", 1.0, "a few words and a link", _bare_link),
    Rule("NO_WAY_OUT", 1.0, "looks like bulk and has no List-Unsubscribe", _no_way_out),
    Rule("PAGE_ATTACHED", 3.0, "a web page as an attachment", _page_attached, True),
)
