"""The S3 server that the contract tests run against: named by GATEPOST_TEST_S3 as http://user:password@127.0.0.1:port."""

from __future__ import annotations

import os
import urllib.parse

from services.runtime.s3_location import S3Location
from tests.parts import lacking


def s3_server(bucket: str, prefix: str = "") -> S3Location:
    """Return a place on the test server; without a server the test is skipped, and fails when CI=true."""
    url = os.environ.get("GATEPOST_TEST_S3", "")
    if not url:
        reason = "no S3 server: GATEPOST_TEST_S3 is not set (http://user:password@127.0.0.1:port)"
        lacking(reason)
    parsed = urllib.parse.urlsplit(url)
    return S3Location(
        bucket=bucket,
        prefix=prefix,
        endpoint=f"{parsed.scheme}://{parsed.hostname}:{parsed.port}",
        access_key=parsed.username or "",
        secret_key=parsed.password or "",
    )
