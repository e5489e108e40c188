"""How many partitions the topics have: one number for an installation, the same wherever it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import catalog
from services.cli import site
from services.core.errors import ConfigError
from services.runtime import cut


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = catalog.partition_count()
    yield
    catalog.cut(before)


def test_what_is_joined_is_cut_alike_and_the_rest_stays() -> None:
    cut.apply({"GATEPOST_PARTITIONS": "5"})
    assert {topic.partitions for topic in catalog.TOPICS if topic.joined} == {5}
    assert {changelog.partitions for changelog in catalog.CHANGELOGS} == {5}
    assert catalog.AUDIT.partitions == 1
    cut.apply({})
    assert catalog.RECEIVED.partitions == catalog.PARTITIONS


@pytest.mark.parametrize("said", ["0", "-1", "many", "10001"])
def test_a_number_that_makes_no_sense_is_refused_by_name(said: str) -> None:
    with pytest.raises(ConfigError, match="GATEPOST_PARTITIONS"):
        cut.apply({"GATEPOST_PARTITIONS": said})


def test_a_command_reads_the_topics_as_the_site_has_cut_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEPOST_PARTITIONS", raising=False)
    site.save(tmp_path, site.Site(kafka="k:1", store="s", database="d", smtp="h:1", partitions=3))
    site.find(tmp_path)
    assert catalog.RECEIVED.partitions == 3
    monkeypatch.setenv("GATEPOST_PARTITIONS", "7")
    site.find(tmp_path)
    assert catalog.RECEIVED.partitions == 7


def test_topics_that_are_cut_otherwise_are_refused_and_those_that_are_not_there_yet_are_not() -> None:
    cut.apply({"GATEPOST_PARTITIONS": "5"})
    assert cut.require(5)
    assert not cut.require(None)
    with pytest.raises(ConfigError, match=r"GATEPOST_PARTITIONS: 5 here, .* have 12;"):
        cut.require(12)
