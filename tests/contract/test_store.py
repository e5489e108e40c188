"""One suite over every store: the fake keeps what the real ones keep."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
