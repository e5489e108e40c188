"""Which broker and store the pipeline's tests run on, by the environment: a cluster comes with S3."""

from __future__ import annotations

import asyncio
import os
import urllib.parse
from pathlib import Path

from tests.house.gatepost import House


def arguments(name: str) -> list[str]:
    """Return what `gatepost up` is told beside its data folder; `name` makes the bucket this test's own."""
    kafka = os.environ.get("GATEPOST_TEST_KAFKA")
    if not kafka:
        return []
    bucket = "".join(letter if letter.isalnum() else "-" for letter in name.lower())[:40].strip("-")
    return ["--kafka", kafka, "--store", f"s3://pipeline-{bucket}"]


def environ() -> dict[str, str]:
    """Return the credentials of the store."""
    if "GATEPOST_TEST_KAFKA" not in os.environ:
        return {}
    parsed = urllib.parse.urlsplit(os.environ["GATEPOST_TEST_S3"])
    return {
        "GATEPOST_S3_ENDPOINT": f"{parsed.scheme}://{parsed.hostname}:{parsed.port}",
        "AWS_ACCESS_KEY_ID": parsed.username or "",
        "AWS_SECRET_ACCESS_KEY": parsed.password or "",
    }


def brokers(house: House) -> list[int]:
    """Return the process ids of the brokers that the house runs on.

    A cluster that the environment names is the tests' own: GATEPOST_TEST_KAFKA_DIR is the folder in which
    GATEPOST_TEST_KAFKA_TOOL keeps its nodes.
    """
    if "GATEPOST_TEST_KAFKA" not in os.environ:
        return [pid for pid, line in house.members().items() if "kafka.Kafka" in line]
    return [int(file.read_text()) for file in Path(os.environ["GATEPOST_TEST_KAFKA_DIR"]).glob("node*.pid")]


async def start_brokers_again() -> None:
    """Start the nodes of a cluster that were killed; the embedded broker comes back by itself."""
    folder = os.environ.get("GATEPOST_TEST_KAFKA_DIR")
    if folder:
        nodes = [str(number + 1) for number in range(os.environ["GATEPOST_TEST_KAFKA"].count(",") + 1)]
        # Together: the first node is ready only when it has found a second.
        assert await asyncio.gather(*(_start_node(folder, node) for node in nodes)) == [0] * len(nodes)


async def _start_node(folder: str, node: str) -> int:
    process = await asyncio.create_subprocess_exec(
        os.environ["GATEPOST_TEST_KAFKA_TOOL"], "restart-node", folder, "--node", node
    )
    return await asyncio.wait_for(process.wait(), 90)
