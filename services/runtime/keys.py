"""What a key of the object store may look like. Every store asks here, so that all refuse the same keys."""

from __future__ import annotations

import re
from typing import Final

from services.core.errors import BadKey

# No segment begins with a dot: '.' and '..' can't be written, and a store keeps what is its own under such names.
_SEGMENT: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}"
_KEY: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_LIMIT: Final = 800  # octets; S3 allows 1,024 with the store's own prefix


def checked_key(key: str) -> str:
    """Return the key; raise BadKey unless it is segments of [A-Za-z0-9._-], no dot first, joined by '/'."""
    if len(key) > _LIMIT or _KEY.fullmatch(key) is None:
        raise BadKey(f"not a key: {key[:80]!r}")
    return key


def checked_prefix(prefix: str) -> str:
    """Return the prefix without a final '/', empty for everything; raise BadKey unless it is whole segments."""
    bare = prefix.removesuffix("/")
    return checked_key(bare) if bare else ""


def is_key(text: str) -> bool:
    """Return whether `text` can be a key: what else lies in a bucket or a folder is not ours, and not listed."""
    return len(text) <= _LIMIT and _KEY.fullmatch(text) is not None
