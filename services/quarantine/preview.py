"""A held message as a person may look at it: text and harmless HTML, no word to any server, attachments by name.

Pure. What the message's parser finds is not what scanners decide on; it is only shown, on a page that runs nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import email
import email.message
import email.policy
from typing import Final

import nh3

from services.core.heading import printable

SIZE_MOST: Final = 26_214_400  # octets of a message that is parsed to be shown
TEXT_MOST: Final = 200_000  # characters of a text
HTML_MOST: Final = 1_000_000  # characters that are sanitised
PARTS_MOST: Final = 500
IMAGE_MOST: Final = 500_000  # octets of an image in the message
IMAGES_MOST: Final = 2_000_000  # of all of them
IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

# Links would be a way out of the page for whoever is fooled by it: their text stays, where they lead goes.
_TAGS: Final = frozenset(nh3.ALLOWED_TAGS - {"a", "area", "map"})
_ATTRIBUTES: Final = {
    "*": {"dir", "lang", "title"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "align"},
    "th": {"colspan", "rowspan", "align"},
    "ol": {"start"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not shown."""

    name: str
    type: str
    size: int  # octets, decoded


@dataclasses.dataclass(frozen=True, slots=True)
class Preview:
    """What can be shown. `html` may be set into a page as it is."""

    text: str
    html: str
    attachments: tuple[Attachment, ...]
    whole: bool  # False: something was left out because it is too much


def preview_of(message: bytes) -> Preview:
    """Return what can be shown of the message, whatever it is; costs time in proportion to it: not on the loop."""
    whole = len(message) <= SIZE_MOST
    try:
        parsed = email.message_from_bytes(message[:SIZE_MOST], policy=email.policy.compat32)
        leaves = [part for part in parsed.walk() if not part.is_multipart()]
    except (ValueError, LookupError, RecursionError, AssertionError, AttributeError):
        return Preview("", "", (), whole=False)
    whole = whole and len(leaves) <= PARTS_MOST
    text, markup = "", ""
    attachments: list[Attachment] = []
    images: dict[str, str] = {}
    room = IMAGES_MOST
    for part in leaves[:PARTS_MOST]:
        kind, octets = part.get_content_type(), _octets(part)
        name = _name(part)
        shown = not name and part.get_content_disposition() != "attachment"
        if shown and kind == "text/plain" and not text:
            text = _text(part, octets)
        elif shown and kind == "text/html" and not markup:
            markup = _text(part, octets)
        else:
            identity = str(part.get("Content-ID", "")).strip().strip("<>")
            if identity and kind in IMAGES and len(octets) <= min(IMAGE_MOST, room):
                room -= len(octets)
                images[identity] = f"data:{kind};base64,{base64.b64encode(octets).decode()}"
            attachments.append(Attachment(name or "?", printable(kind, 100), len(octets)))
    whole = whole and len(text) <= TEXT_MOST and len(markup) <= HTML_MOST
    return Preview(text[:TEXT_MOST], harmless(markup[:HTML_MOST], images), tuple(attachments), whole=whole)


def harmless(markup: str, images: dict[str, str]) -> str:
    """Return the markup without scripts, styles, forms, links and anything that loads; images of its own stay."""

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name != "src":
            return value
        return images.get(value.removeprefix("cid:")) if tag == "img" and value.startswith("cid:") else None

    return nh3.clean(
        markup,
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        url_schemes={"cid"},
        link_rel=None,
        strip_comments=True,
    )


def _octets(part: email.message.Message) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        return b""
    return found if isinstance(found, bytes) else b""


def _text(part: email.message.Message, octets: bytes) -> str:
    try:
        text = octets.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        text = octets.decode("latin-1")
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable())


def _name(part: email.message.Message) -> str:
    try:
        return printable(part.get_filename("") or "", 200)
    except (ValueError, LookupError, TypeError):
        return "?"
