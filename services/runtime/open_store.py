"""From what the operator wrote to the store it means."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

from services.core.errors import ConfigError
from services.runtime.folder_store import FolderStore
from services.runtime.s3_location import s3_location
from services.runtime.s3_store import S3Store
from services.runtime.store import Store


async def open_store(url: str, environ: Mapping[str, str]) -> Store:
    """Return the store that the URL names: a path, file:///path, or s3://bucket[/prefix].

    A folder is made where it is missing. A bucket is `s3_provision.provision`'s part and is not looked at here, so that
    a service starts while S3 is away. GATEPOST_S3_SPOOL is the folder where long messages for a bucket wait while they
    come in. Raises ConfigError for a URL that means nothing, StartError for a folder that can't be used.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        if not url:
            raise ConfigError("store: empty; write a path, file:///path, or s3://bucket")
        return await FolderStore.open(url)
    match scheme.lower():
        case "s3":
            return S3Store(s3_location(url, environ), spool=environ.get("GATEPOST_S3_SPOOL") or None)
        case "file":
            if not rest.startswith("/"):
                raise ConfigError("store: a folder is written file:///path, with three slashes, or as a plain path")
            return await FolderStore.open(urllib.parse.unquote(rest))
        case _:
            raise ConfigError(f"store: nothing is known of {scheme}://; write a path, file:///path, or s3://bucket")
