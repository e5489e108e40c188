"""A page of 100,000 held messages is one walk along an index: what the database plans to do says so."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import create_mock_engine
from sqlalchemy.dialects import sqlite

from services.quarantine.search import Query, keys_of
from services.quarantine.tables import METADATA, State

CURSOR = "MDFLOFo0TjVRSjNNOFY3VDJSNlhXOVlCMDBhQGV4YW1wbGUudGVzdA"


@pytest.mark.parametrize(
    "query",
    [
        Query(customer="acme"),
        Query(customer="acme", after=CURSOR),
        Query(customer="acme", everything=True),
        Query(customer="acme", state=State.RELEASED),
        Query(customer="acme", subject="invoice", sender="x", reason="y", recipient="z", held_from=1.0),
    ],
)
def test_a_page_is_read_in_order_from_an_index(query: Query) -> None:
    database = sqlite3.connect(":memory:")
    dialect = sqlite.dialect()
    engine = create_mock_engine("sqlite://", lambda ddl, *_a, **_k: database.execute(str(ddl.compile(dialect=dialect))))
    METADATA.create_all(engine, checkfirst=False)
    compiled = keys_of(query).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    plan = " ".join(row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {compiled}"))
    database.close()
    assert "USING" in plan
    assert "INDEX quarantine_held_" in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan or query.state is not None
