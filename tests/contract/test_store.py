"""One suite over every store: the fake keeps what the real ones keep."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import obstore
import pytest
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from obstore.store import S3Store as S3Client

from services.core.errors import StoreUnavailable
from services.runtime.fakes_store import MemoryStore
from services.runtime.folder_store import FolderStore
from services.runtime.s3_provision import provision
from services.runtime.s3_store import S3Store
from services.runtime.store import Store
from tests.contract.s3_server import s3_server
from tests.contract.store_suite import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore()
        yield store
        await store.close()


class TestFolderStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = await FolderStore.open(str(tmp_path / "data" / "store"))
        yield store
        await store.close()


class TestS3Store(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        location = s3_server("gatepost-contract", prefix=f"run/{uuid.uuid4().hex}")
        await provision(location)
        store = S3Store(location)
        yield store
        await store.close()
        sweeper = S3Store(location)
        for key in [stat.key async for stat in sweeper.list("")]:
            await sweeper.delete(key)

    async def test_what_is_not_ours_is_not_listed(self) -> None:
        location = s3_server("gatepost-contract", prefix=f"run/{uuid.uuid4().hex}")
        await provision(location)
        client = S3Client(
            location.bucket,
            prefix=location.prefix,
            endpoint=location.endpoint,
            access_key_id=location.access_key,
            secret_access_key=location.secret_key,
            region=location.region,
            client_options={"allow_http": True},
        )
        foreign = [".probe/left-behind", "mail/notes~", "mail/two words"]
        for key in [*foreign, "mail/acme/7Q/A"]:
            await obstore.put_async(client, key, b"x")
        store = S3Store(location)
        assert [stat.key async for stat in store.list("")] == ["mail/acme/7Q/A"]
        await store.close()
        await obstore.delete_async(client, [*foreign, "mail/acme/7Q/A"])

    async def test_provisioning_keeps_the_rules_of_others_and_drops_old_versions(self) -> None:
        location = s3_server(f"gatepost-{uuid.uuid4().hex}", prefix="pre")
        await provision(location)
        client = Minio(
            location.endpoint.removeprefix("http://"), location.access_key, location.secret_key, secure=False
        )
        ours = client.get_bucket_lifecycle(location.bucket)
        assert ours is not None
        assert [rule.rule_filter.prefix for rule in ours.rules if rule.rule_filter] == ["pre/", "pre/quarantine/"]
        assert [rule.expiration.days for rule in ours.rules if rule.expiration] == [None, 31]
        theirs = Rule(ENABLED, rule_id="theirs", rule_filter=Filter(prefix="logs/"), expiration=Expiration(days=3))
        client.set_bucket_lifecycle(location.bucket, LifecycleConfig([theirs]))
        await provision(location)
        await provision(location)
        after = client.get_bucket_lifecycle(location.bucket)
        assert after is not None
        assert [rule.rule_id for rule in after.rules] == ["theirs", "gatepost-nothing-kept-2", "gatepost-held-1"]
        await asyncio.gather(*(provision(location) for _ in range(3)))
        client.remove_bucket(location.bucket)

    async def test_provisioning_at_once_from_several_processes(self) -> None:
        location = s3_server(f"gatepost-{uuid.uuid4().hex}")
        await asyncio.gather(*(provision(location) for _ in range(4)))
        store = S3Store(location)
        await store.check()
        await store.close()
        client = Minio(
            location.endpoint.removeprefix("http://"), location.access_key, location.secret_key, secure=False
        )
        client.remove_bucket(location.bucket)

    async def test_a_bucket_that_is_not_there_ends_no_message(self) -> None:
        store = S3Store(s3_server(f"gatepost-{uuid.uuid4().hex}"))
        for call in (store.put("a", [b"x"]), store.get("a"), store.delete("a"), store.check()):
            with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
                await call
        await store.close()
