"""Local feeds: files that may change at any time, held in bounded memory."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest

from services.core.clock import ManualClock
from services.core.errors import ConfigError
from services.scanners.checks import urls
from services.scanners.engines import url_feeds
from services.scanners.engines.url_feeds import LOOK_EVERY, Feeds
from services.scanners.engines.url_lists import parse_lists
from services.scanners.urls.url import Url, parse
from tests.mails import PLAIN, context, mail


def url(text: str) -> Url:
    found = parse(text)
    assert found is not None
    return found


def test_domains_urls_and_hashes(tmp_path: Path) -> None:
    (tmp_path / "bad.domains").write_text("# comment\nEVIL.test  seen today\nbücher.test\n\n8.8.8.8\n")
    (tmp_path / "bad.urls").write_text("http://host.test/Path?q=1#part\n")
    digest = hashlib.sha256(b"https://hashed.test/x").hexdigest()
    (tmp_path / "bad.hashes").write_text(f"{digest}\nnot a hash\nzz{digest[2:]}\n")
    (tmp_path / "README").write_text("sender.test\n")
    feeds = Feeds(str(tmp_path), ManualClock())
    assert len(feeds) == 5
    assert feeds.listed(url("https://www.evil.test/x")) == "domain"
    assert feeds.listed(url("http://xn--bcher-kva.test/")) == "domain"
    assert feeds.listed(url("http://8.8.8.8/")) == "domain"
    assert feeds.listed(url("http://HOST.test/Path?q=1")) == "url"
    assert feeds.listed(url("https://hashed.test/x#y")) == "url"
    for honest in (
        "http://host.test/path?q=1",
        "https://sender.test/",
        "https://notevil.test/",
        "data:x",
        "http://8.8.8.9/",
    ):
        assert feeds.listed(url(honest)) == ""


def test_a_change_is_seen_after_a_while(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "bad.domains"
    path.write_text("evil.test\n")
    feeds = Feeds(str(tmp_path), clock)
    path.write_text("worse.test\n")
    os.utime(path, ns=(1, 1))
    assert feeds.listed(url("http://evil.test/")) == "domain"
    clock.advance(LOOK_EVERY + 1)
    assert feeds.listed(url("http://evil.test/")) == ""
    assert feeds.listed(url("http://worse.test/")) == "domain"


def test_a_folder_that_goes_away_leaves_the_old_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    folder = tmp_path / "feeds"
    folder.mkdir()
    (folder / "bad.domains").write_text("evil.test\n")
    feeds = Feeds(str(folder), clock)
    folder.rename(tmp_path / "gone")
    clock.advance(LOOK_EVERY + 1)
    with caplog.at_level(logging.ERROR):
        assert feeds.listed(url("http://evil.test/")) == "domain"
    assert "feeds-unreadable" in caplog.text


def test_more_than_memory_has_room_for_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(url_feeds, "ENTRIES_MOST", 10)
    (tmp_path / "bad.domains").write_text("".join(f"h{number}.test\n" for number in range(50)))
    with caplog.at_level(logging.ERROR):
        assert len(Feeds(str(tmp_path), ManualClock())) == 10
    assert "feeds-too-long" in caplog.text


def test_no_folder() -> None:
    with pytest.raises(ConfigError, match="GATEPOST_URL_FEEDS: /nowhere is no folder"):
        Feeds("/nowhere", ManualClock())
    assert Feeds("", ManualClock()).listed(url("http://evil.test/")) == ""


async def test_a_listed_link_is_phishing(tmp_path: Path) -> None:
    (tmp_path / "bad.domains").write_text("evil.test\n")
    ctx = context(url_feeds=Feeds(str(tmp_path), ManualClock()))
    finding = await urls.scan(mail(PLAIN + b"http://www.evil.test/private\n"), ctx)
    assert finding.status == "phishing"
    assert [item.text for item in finding.evidence] == [
        "a link to www.evil.test, a domain that the operator's lists hold"
    ]


@pytest.mark.parametrize("item", ["", "zone", "zone=", "zone=-1", "zone=0", "zone=1000", "=3", "stale:zone=3", "a b=1"])
def test_lists_that_are_written_wrong(item: str) -> None:
    with pytest.raises(ConfigError, match=r"GATEPOST_URL_LISTS: .* is not zone=weight"):
        parse_lists([item])
