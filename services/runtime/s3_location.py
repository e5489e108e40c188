"""Where an S3 store is, and with which keys: read from its URL and the environment."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec

from services.core.errors import BadKey, ConfigError
from services.runtime.keys import checked_prefix

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class S3Location(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket of an S3 service. Its text never shows the keys."""

    bucket: str
    prefix: str = ""  # whole segments, no '/' at either end
    endpoint: str = ""  # empty: Amazon's own, by region
    region: str = "us-east-1"
    access_key: str = ""  # empty: what the machine's role gives (IRSA, instance profile)
    secret_key: str = ""
    session_token: str = ""

    def __repr__(self) -> str:
        return f"S3Location(s3://{self.bucket}/{self.prefix} at {self.endpoint or self.region})"

    @property
    def plain(self) -> bool:
        """Return whether the endpoint is spoken to without TLS: only where its URL says http."""
        return self.endpoint.startswith("http://")


def s3_location(url: str, environ: Mapping[str, str]) -> S3Location:
    """Return the place that `s3://bucket[/prefix]` names; endpoint and keys come from the environment.

    Reads GATEPOST_S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION.
    Raises ConfigError.
    """
    parsed = urllib.parse.urlsplit(url)
    if parsed.scheme != "s3" or parsed.query or parsed.fragment or "@" in parsed.netloc:
        raise ConfigError(
            "store: an S3 store is written s3://bucket or s3://bucket/prefix, its keys are in the environment"
        )
    if _BUCKET.fullmatch(parsed.netloc) is None:
        raise ConfigError(f"store: {parsed.netloc!r} can't be the name of a bucket")
    try:
        prefix = checked_prefix(parsed.path.removeprefix("/"))
    except BadKey as error:
        raise ConfigError(f"store: {parsed.path!r} can't be the prefix of a store") from error
    access_key, secret_key = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    if bool(access_key) != bool(secret_key):
        raise ConfigError("store: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set together or not at all")
    return S3Location(
        bucket=parsed.netloc,
        prefix=prefix,
        endpoint=_endpoint(environ.get("GATEPOST_S3_ENDPOINT", "")),
        region=environ.get("AWS_REGION") or "us-east-1",
        access_key=access_key,
        secret_key=secret_key,
        session_token=environ.get("AWS_SESSION_TOKEN", ""),
    )


def _endpoint(text: str) -> str:
    if not text:
        return ""
    parsed = urllib.parse.urlsplit(text)
    if parsed.scheme not in ("http", "https") or not parsed.hostname or "@" in parsed.netloc or parsed.query:
        raise ConfigError("store: GATEPOST_S3_ENDPOINT is written http://host:port or https://host:port, without keys")
    return text.rstrip("/")
