"""Makes the bucket and its lifecycle rule, through the minio SDK: at a start or by the operator, never per message."""

from __future__ import annotations

import asyncio
import logging
import urllib.parse
from typing import Final

import minio
import urllib3
from minio.commonconfig import ENABLED, Filter
from minio.credentials.providers import AWSConfigProvider, ChainedProvider, EnvAWSProvider, IamAwsProvider
from minio.error import MinioException, S3Error
from minio.lifecycleconfig import (
    AbortIncompleteMultipartUpload,
    Expiration,
    LifecycleConfig,
    NoncurrentVersionExpiration,
    Rule,
)

from services.core.errors import StartError, StoreUnavailable
from services.core.sealed import PREFIX as SEALED
from services.runtime.s3_location import S3Location

_log = logging.getLogger("gatepost.store")

_RULES: Final = "gatepost-nothing-kept"
_RULE: Final = f"{_RULES}-2"  # another number when it says something else: an old one is replaced
_HELD: Final = "gatepost-held"
_HELD_RULE: Final = f"{_HELD}-1"
_HELD_DAYS: Final = 31  # the most that anything is held is 30: what is older was forgotten by a service of ours
_REFUSED: Final = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "BucketAlreadyExists", "InvalidBucketName"}
)


async def provision(location: S3Location, *, within: float = 20.0) -> None:
    """Return when the bucket is there and keeps no deleted mail, doing what is missing for that. Safe to run again.

    In a bucket with versioning a delete keeps the old bytes: a lifecycle rule takes them away after a day, and
    the parts of uploads that broke off. Rules of others stay. Raises StartError when the server refuses for good,
    StoreUnavailable when it can't be had within `within` seconds.
    """
    try:
        async with asyncio.timeout(within):
            await asyncio.to_thread(_provision, location)
    except TimeoutError as error:
        raise StoreUnavailable(f"store: no answer within {within:g} s from {location!r}") from error


def _provision(location: S3Location) -> None:
    try:
        client = _client(location)
        if not client.bucket_exists(location.bucket):
            _make(client, location)
        _let_go_of_old_versions(client, location)
    except S3Error as error:
        text = f"store: {error.code} from {location!r}"
        raise (StartError if error.code in _REFUSED else StoreUnavailable)(text) from error
    except (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise StoreUnavailable(f"store: {type(error).__name__} from {location!r}") from error


def _client(location: S3Location) -> minio.Minio:
    # The SDK's own settings wait 300 s five times over for a server that hangs.
    pool = urllib3.PoolManager(
        maxsize=2,
        timeout=urllib3.Timeout(connect=2.0, read=5.0),
        retries=urllib3.Retry(total=1, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
    )
    endpoint = urllib.parse.urlsplit(location.endpoint or "https://s3.amazonaws.com")
    machine = None
    if not location.access_key:
        machine = ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), IamAwsProvider()])
    return minio.Minio(
        endpoint=endpoint.netloc,
        access_key=location.access_key or None,
        secret_key=location.secret_key or None,
        session_token=location.session_token or None,
        credentials=machine,
        secure=not location.plain,
        region=location.region,
        http_client=pool,
    )


def _make(client: minio.Minio, location: S3Location) -> None:
    try:
        client.make_bucket(location.bucket, location=location.region)
    except S3Error as error:
        if error.code != "BucketAlreadyOwnedByYou":  # another process was quicker
            raise
    _log.info("bucket made name=%s", location.bucket)


def _let_go_of_old_versions(client: minio.Minio, location: S3Location) -> None:
    there = client.get_bucket_lifecycle(location.bucket)
    rules = [] if there is None else there.rules
    # MinIO forgets the last part of the rule at once, and removes parts that are a day old by itself.
    ours = _rule(location, AbortIncompleteMultipartUpload(days_after_initiation=1))
    held = _held_rule(location)
    if (ours not in rules and _rule(location, None) not in rules) or held not in rules:
        others = [rule for rule in rules if not (rule.rule_id or "").startswith((_RULES, _HELD))]
        client.set_bucket_lifecycle(location.bucket, LifecycleConfig([*others, ours, held]))
        _log.info("lifecycle rule set bucket=%s rule=%s", location.bucket, _RULE)


def _held_rule(location: S3Location) -> Rule:
    """Return the second line behind the quarantine's own expiry."""
    prefix = f"{location.prefix}/{SEALED}/" if location.prefix else f"{SEALED}/"
    return Rule(ENABLED, rule_id=_HELD_RULE, rule_filter=Filter(prefix=prefix), expiration=Expiration(days=_HELD_DAYS))


def _rule(location: S3Location, broken_off: AbortIncompleteMultipartUpload | None) -> Rule:
    return Rule(
        ENABLED,
        rule_id=_RULE,
        rule_filter=Filter(prefix=f"{location.prefix}/" if location.prefix else ""),
        noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=1),
        expiration=Expiration(expired_object_delete_marker=True),
        abort_incomplete_multipart_upload=broken_off,
    )
