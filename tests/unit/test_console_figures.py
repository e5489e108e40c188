"""The dashboard: what is counted stands in the right step, and is drawn without anything that the policy forbids."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from schemas.catalog import QUEUES
from schemas.events import QueueState
from services.console import charts
from services.console.figures import STEPS, figured, window
from services.console.panels import age, octets, panels, percent, seconds
from services.console.roles import Role
from services.console.traffic_models import Depth, Figures
from services.runtime.bus import Record
from services.trace.decide import facts
from services.trace.index import Sum
from services.trace.tally import HOUR, Kind
from tests.house.console import ConsoleHouse, console_house
from tests.samples import received

NOTHING = Depth(messages=0, oldest=0.0, down=0)
SUMS = [
    Sum(6, Kind.IN, "", 10),
    Sum(12, Kind.IN, "", 5),
    Sum(6, Kind.ENDED, "delivered", 7),
    Sum(6, Kind.HELD, "content", 2),
    Sum(6, Kind.HELD, "<b>", 1),
    Sum(12, Kind.DELETED, "content", 1),
    Sum(12, Kind.REFUSED, "blocked", 4),
    Sum(12, Kind.THREAT, "spam", 3),
    Sum(6, Kind.LATENCY, "500", 6),
    Sum(6, Kind.LATENCY, "60000", 1),
]


def figures(sums: Sequence[Sum] = SUMS) -> Figures:
    return figured(sums, range(0, 18, 6), 5.0, NOTHING)


def test_steps_and_sums() -> None:
    found = figures()
    assert [(point.at, point.received, point.refused) for point in found.points] == [
        (0, 0, 0),
        (6 * HOUR, 10, 0),
        (12 * HOUR, 5, 4),
    ]
    assert (found.since, found.until, found.step) == (0, 18 * HOUR, 6 * HOUR)
    assert (found.totals.received, found.totals.held, found.totals.deleted) == (15, 3, 1)
    assert found.stopped == {"content": 3, "<b>": 1}
    assert [point.p50 is None for point in found.points] == [True, False, True]
    assert found.latency.within == pytest.approx(6 / 7)
    assert found.latency.p95 > 30


@pytest.mark.parametrize("days", STEPS)
@pytest.mark.parametrize("now", [1.7e9, 1.7e9 + HOUR - 1, 1_700_006_400.0])
def test_a_window_ends_with_this_hour_and_has_whole_steps_but_for_the_last(days: int, now: float) -> None:
    since, until, step = window(now, days)
    assert since % step == 0
    assert (until - 1) * HOUR <= now < until * HOUR
    assert days * 24 - step < until - since <= days * 24


@pytest.mark.parametrize("language", ["en", "it"])
def test_each_chart_has_its_figures_as_a_table_and_nothing_that_the_policy_forbids(language: str) -> None:
    shown = panels(figures(), language)
    assert [panel.id for panel in shown] == ["traffic", "layers", "threats", "latency"]
    for panel in shown:
        assert not re.search(r"<script|<style|style=|\son\w+=|href|<b>", panel.chart), panel.id
        assert f'aria-label="{panel.title}"' in panel.chart
        assert {len(row) for row in panel.rows} == {len(panel.head)}
    traffic = shown[0]
    assert traffic.chart.count("<rect") == 2 + 4  # two grounds, and a bar for each figure that is not nothing
    assert traffic.rows[2][1:] == ("0", "0", "1", "4")
    assert ("&lt;b&gt;" in shown[1].chart, shown[1].rows[-1]) == (True, (f"{shown[1].rows[0][0]}: blocked", "4"))
    assert [panel.id for panel in panels(figures([]), language)] == ["traffic", "threats"]


@pytest.mark.parametrize(("days", "step"), STEPS.items())
def test_no_more_labels_than_there_is_room_for(days: int, step: int) -> None:
    since, until, _ = window(1_700_000_000.0, days)
    found = figured([Sum(since, Kind.IN, "", 10)], range(since, until, step), 5.0, NOTHING)
    shown = panels(found, "en")[0].chart
    assert 2 <= len(re.findall(r">(?:\d\d-\d\d)?(?: ?\d\d:00)?</text>", shown)) <= charts.LABELS_MOST + 1


def test_a_line_has_gaps_where_there_is_nothing() -> None:
    drawn = charts.lines("x", list("abcde"), [("s", [1.0, 2.0, None, 3.0, None])], seconds)
    series = drawn[drawn.index('class="series') :]
    assert [len(path.split()) for path in re.findall(r'<path d="([^"]*)"', series) if "L" in path] == [4]
    assert series.count("<circle") == 3


@pytest.mark.parametrize("most", [*range(12), 100])
def test_no_axis_has_a_number_twice(most: int) -> None:
    for drawn in (charts.stacked("x", ["a", "b"], [("s", [most, 0])]), charts.bars("x", [("a", most), ("b", 0)])):
        numbers = re.findall(r">(\d[^<]*)</text>", str(drawn))
        assert len(numbers) == len(set(numbers)) > 1, numbers


def test_how_people_read_amounts() -> None:
    assert [seconds(each) for each in (None, 0.0512, 61.04)] == ["-", "51\u202fms", "61.0\u202fs"]
    assert [octets(each) for each in (0, 1_023, 1_536, 5 * 1024**6)] == [
        "0\u202fB",
        "1023\u202fB",
        "1.5\u202fKiB",
        "5120.0\u202fPiB",
    ]
    assert [percent(each) for each in (1.0, 0.99999, 0.0)] == ["100 %", "99.9 %", "0.0 %"]
    assert [age(each) for each in (-1, 61, 7_300, 2e5)] == ["0\u202fs", "1\u202fmin", "2\u202fh", "2\u202fd"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        now = house.clock.now()
        await house.trace.write([facts(received(customer=name, received_at=now), now) for name in ("acme", "globex")])
        yield house


async def test_a_customer_sees_its_own_and_the_operator_the_sum(house: ConsoleHouse) -> None:
    now = house.clock.now()
    state = QueueState(
        customer="globex", destination="mx:25", owner="0", state="down", depth=7, oldest=now - 60, reply="421", at=now
    )
    house.waiting.apply(Record(QUEUES, 0, 0, "globex/mx:25/0", state, now))
    reader, operator = await house.person(Role.READER), await house.person(Role.OPERATOR, "")
    for query in ("", "?days=1", "?days=30", "?days=90", "?days=x"):
        page = await reader.get(f"/c/acme/dashboard{query}")
        assert page.status == 200
        assert "<dt>Received</dt><dd>1<small>" in page.text
        assert "style=" not in page.text
    assert "<dd>0<small>waiting now" in page.text
    service = await operator.get("/dashboard")
    assert "<dt>Received</dt><dd>2<small>" in service.text
    assert "<dd>7<small>waiting now; oldest: 1\u202fmin; 1 destinations" in service.text
    assert "bob@" not in service.text
    assert (await reader.get("/dashboard")).status == 403
    assert (await reader.get("/c/globex/dashboard")).status == 404
