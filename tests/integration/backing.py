"""Which broker and store the pipeline's tests run on, by the environment."""

from __future__ import annotations

import os
import urllib.parse


def arguments(name: str) -> list[str]:
    """Return what `gatepost up` is told beside its data folder; `name` makes the bucket this test's own."""
    found = []
    if kafka := os.environ.get("GATEPOST_TEST_KAFKA"):
        found += ["--kafka", kafka]
    if os.environ.get("GATEPOST_TEST_S3"):
        found += [
            "--store",
            f"s3://pipeline-{''.join(c if c.isalnum() else '-' for c in name.lower())[:40].strip('-')}",
        ]
    return found


def environ() -> dict[str, str]:
    """Return the credentials of the store."""
    url = os.environ.get("GATEPOST_TEST_S3")
    if not url:
        return {}
    parsed = urllib.parse.urlsplit(url)
    return {
        "GATEPOST_S3_ENDPOINT": f"{parsed.scheme}://{parsed.hostname}:{parsed.port}",
        "AWS_ACCESS_KEY_ID": parsed.username or "",
        "AWS_SECRET_ACCESS_KEY": parsed.password or "",
    }
