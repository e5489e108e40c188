"""A store's URL: what it opens, and the one clear line for what it can't."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.core.errors import ConfigError, StartError
from services.runtime.folder_store import FolderStore
from services.runtime.open_store import open_store
from services.runtime.s3_location import s3_location
from services.runtime.s3_store import S3Store

KEYS = {"AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "very-secret"}


@pytest.mark.parametrize("form", ["{0}/data", "file://{0}/data", "file://{0}/d%61ta"])
async def test_a_path_or_a_file_url_is_a_folder(tmp_path: Path, form: str) -> None:
    store = await open_store(form.format(tmp_path), {})
    assert isinstance(store, FolderStore)
    await store.put("a", [b"x"])
    assert (tmp_path / "data" / "a").read_bytes() == b"x"
    await store.close()


async def test_an_s3_url_is_a_bucket() -> None:
    store = await open_store("s3://mail-bucket/gatepost", {**KEYS, "GATEPOST_S3_ENDPOINT": "http://127.0.0.1:1"})
    assert isinstance(store, S3Store)
    await store.close()


def test_the_environment_says_where_and_who() -> None:
    location = s3_location(
        "s3://mail-bucket/eu/gatepost/",
        {**KEYS, "GATEPOST_S3_ENDPOINT": "https://s3.example.test/", "AWS_REGION": "eu-west-1"},
    )
    assert (location.bucket, location.prefix) == ("mail-bucket", "eu/gatepost")
    assert (location.endpoint, location.region, location.plain) == ("https://s3.example.test", "eu-west-1", False)
    assert (location.access_key, location.secret_key) == ("key-id", "very-secret")
    assert s3_location("s3://mail-bucket", {}).region == "us-east-1"
    assert s3_location("s3://mail-bucket", {"GATEPOST_S3_ENDPOINT": "http://127.0.0.1:9000"}).plain


def test_keys_are_not_shown() -> None:
    location = s3_location("s3://mail-bucket", {**KEYS, "AWS_SESSION_TOKEN": "token"})
    for text in (repr(location), str(location), f"{location!r}"):
        assert "key-id" not in text
        assert "very-secret" not in text
        assert "token" not in text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file://relative/path",
        "gs://bucket",
        "s3://",
        "s3://b",
        "s3://UPPER",
        "s3://bucket/../x",
        "s3://bucket//x",
        "s3://key:secret@bucket",
        "s3://bucket?endpoint=x",
    ],
)
async def test_a_url_that_means_nothing(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_store(url, KEYS)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ACCESS_KEY_ID": "key-id"},
        {"AWS_SECRET_ACCESS_KEY": "very-secret"},
        {"GATEPOST_S3_ENDPOINT": "127.0.0.1:9000"},
        {"GATEPOST_S3_ENDPOINT": "ftp://127.0.0.1"},
        {"GATEPOST_S3_ENDPOINT": "http://user:very-secret@127.0.0.1"},
    ],
)
async def test_an_environment_that_means_nothing(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_store("s3://mail-bucket", environ)
    assert "very-secret" not in str(caught.value)


async def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StartError):
        await open_store(str(tmp_path / "file" / "store"), {})
