"""The built-in content rules: a table of small pure functions over a mail's facts.

Weights are conservative: of ordinary ham fewer than one message in a hundred comes to a score of 6. One rule alone
makes a message suspicious only where the words leave no doubt.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

from services.scanners import deceit, phrases
from services.scanners.auth.dmarc import organizational
from services.scanners.facts import Facts
from services.scanners.free_mail import FREE_MAIL
from services.scanners.rule import Rule

GTUBE: Final = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
GTUBE_SCORE: Final = 1000.0


def has_gtube(raw: bytes, bodies: list[bytes]) -> bool:
    """Return whether the test text of spamassassin.apache.org/gtube is in the message, as sent or decoded."""
    return GTUBE in raw or any(GTUBE in body for body in bodies)


def apply(facts: Facts) -> list[Rule]:
    """Return the rules that hit."""
    return [rule for rule in RULES if rule.test(facts)]


def _shouting(facts: Facts) -> bool:
    letters = [char for char in facts.subject if char.isalpha()]
    return len(letters) >= 10 and all(char.isupper() for char in letters)  # noqa: PLR2004  # an abbreviation isn't shouting


def _date_missing(facts: Facts) -> bool:
    return facts.count("date") == 0


def _id_missing(facts: Facts) -> bool:
    return facts.count("message-id") == 0


def _id_malformed(facts: Facts) -> bool:
    value = facts.mail.header("message-id")
    return bool(value) and not re.fullmatch(r"<[^<>@\s]{1,250}@[^<>@\s]{1,250}>", value[:600])


def _repeated(facts: Facts) -> bool:
    return any(facts.count(name) > 1 for name in ("from", "date", "subject", "message-id", "to"))


def _no_from(facts: Facts) -> bool:
    return not facts.from_domain


def _from_name_is_other_address(facts: Facts) -> bool:
    found = re.search(r"[\w.+-]{1,64}@([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5})", facts.from_name[:500])
    return bool(found and facts.from_domain and organizational(found.group(1)) != organizational(facts.from_domain))


def _reply_elsewhere_free(facts: Facts) -> bool:
    return (
        facts.reply_domain in FREE_MAIL
        and bool(facts.from_domain)
        and organizational(facts.from_domain) != organizational(facts.reply_domain)
        and facts.count("list-id") == 0
    )


def _html_only(facts: Facts) -> bool:
    return bool(facts.html) and not facts.plain.strip()


def _html_with_little_text(facts: Facts) -> bool:
    return _html_only(facts) and len(facts.words) < 100 and "<img" in facts.html  # noqa: PLR2004  # a line of text


def _ip_link(facts: Facts) -> bool:
    return any(_is_ip(link.host) for link in facts.links)


def _is_ip(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_private
    except ValueError:
        return host.isdigit()  # a host as one number is an address too


def _link_shows_other_host(facts: Facts) -> bool:
    return any(link.shown and organizational(link.shown) != organizational(link.host) for link in facts.links)


def _link_with_user(facts: Facts) -> bool:
    return any("@" in _authority(link.url) for link in facts.links)


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _link_hides_host(facts: Facts) -> bool:
    return any(
        "%" in _authority(link.url) and unquote(_authority(link.url)) != _authority(link.url) for link in facts.links
    )


def _link_brand_elsewhere(facts: Facts) -> bool:
    return any(_borrows_brand(link.host) for link in facts.links)


def _borrows_brand(host: str) -> bool:
    own = organizational(host).partition(".")[0]
    labels = host.replace("-", ".").split(".")
    return any(brand in labels and own != brand for brand in _BRANDS)


def _html_form(facts: Facts) -> bool:
    return "<form" in facts.html and 'type="password"' in facts.html.replace("'", '"')


def _hidden_text(facts: Facts) -> bool:
    return bool(re.search(r"font-size\s*:\s*[01](?:px|pt)?\s*[;\"']", facts.html))


def _script(facts: Facts) -> bool:
    return "<script" in facts.html


def _webbug(facts: Facts) -> bool:
    return bool(re.search(r"<img[^<>]{0,500}(?:width|height)\s*=\s*[\"']?[01][\"'\s>]", facts.html))


def _subject_money(facts: Facts) -> bool:
    return bool(re.search(r"\$\s?\d{1,3}(?:[,.]\d{3})|100\s?%|!{2,}|\${2,}", facts.subject))


def _subject_ends_in_code(facts: Facts) -> bool:
    return bool(re.search(r"\s{6,}\S{3,20}$", facts.subject))


def _undisclosed(facts: Facts) -> bool:
    to = facts.mail.header("to").lower()
    return "undisclosed" in to or (not to and facts.count("cc") == 0)


def _says(listed: str, least: int) -> Callable[[Facts], bool]:
    count = phrases.counter(listed)
    return lambda facts: count(facts.words) >= least


_BRANDS: Final = frozenset(
    {
        "amazon",
        "americanexpress",
        "binance",
        "citibank",
        "coinbase",
        "dhl",
        "docusign",
        "dropbox",
        "ebay",
        "facebook",
        "fedex",
        "icloud",
        "metamask",
        "microsoft",
        "netflix",
        "office365",
        "paypal",
        "sharepoint",
        "usps",
        "wellsfargo",
    }
)

RULES: Final[tuple[Rule, ...]] = (
    *deceit.RULES,
    Rule("NO_DATE", 1.5, "no Date field", _date_missing),
    Rule("NO_MESSAGE_ID", 1.0, "no Message-ID field", _id_missing),
    Rule("BAD_MESSAGE_ID", 3.0, "a Message-ID that is none", _id_malformed),
    Rule("REPEATED_FIELD", 2.0, "a header field that may come once comes again", _repeated),
    Rule("NO_FROM", 3.0, "no address in From", _no_from),
    Rule(
        "FROM_NAME_LIES",
        3.0,
        "the name in From is an address of another domain",
        _from_name_is_other_address,
        True,
        True,
    ),
    Rule("REPLY_TO_FREE_MAIL", 2.0, "answers go to a free mailbox", _reply_elsewhere_free),
    Rule("SUBJECT_SHOUTS", 2.0, "the subject is in capitals", _shouting),
    Rule("SUBJECT_MONEY", 1.5, "the subject speaks of money or shouts", _subject_money),
    Rule("SUBJECT_CODE", 4.0, "the subject ends in a code far from the text", _subject_ends_in_code),
    Rule("NO_RECIPIENT_SHOWN", 1.0, "nobody stands in To", _undisclosed),
    Rule("HTML_ONLY", 1.5, "HTML without a plain text", _html_only),
    Rule("HTML_IMAGE_ONLY", 2.5, "a picture instead of text", _html_with_little_text),
    Rule("HTML_PASSWORD_FORM", 4.0, "a form that asks for a password", _html_form, True, True),
    Rule("HTML_HIDDEN_TEXT", 1.5, "text too small to read", _hidden_text),
    Rule("HTML_SCRIPT", 1.0, "a script", _script),
    Rule("HTML_WEB_BUG", 0.5, "a picture too small to see", _webbug),
    Rule("LINK_TO_ADDRESS", 4.0, "a link to a bare IP address", _ip_link),
    Rule("LINK_LIES", 2.0, "a link that shows another domain than it leads to", _link_shows_other_host),
    Rule("LINK_WITH_USER", 4.0, "a link with a name before its host", _link_with_user, True, True),
    Rule("LINK_HIDES_HOST", 4.0, "a link whose host is encoded", _link_hides_host, True, True),
    Rule(
        "LINK_BORROWS_BRAND",
        3.0,
        "a link with a brand's name in a stranger's domain",
        _link_brand_elsewhere,
        True,
        True,
    ),
    Rule("ADVANCE_FEE", 6.0, "the words of an advance-fee fraud", _says(phrases.ADVANCE_FEE, 4), True),
    Rule("MARKETING_PROMISES", 3.0, "promises of money, weight or health", _says(phrases.MARKETING_PROMISES, 2)),
    Rule("BULK_EXCUSES", 2.5, "excuses of unsolicited bulk mail", _says(phrases.BULK_EXCUSES, 1)),
    Rule("ACCOUNT_THREAT", 2.5, "an account is said to be in danger", _says(phrases.ACCOUNT_THREAT, 2), True),
    Rule("EXTORTION", 5.0, "the words of an extortion", _says(phrases.EXTORTION, 2), True),
)
