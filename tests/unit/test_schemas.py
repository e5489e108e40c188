"""`python -m schemas check` on the committed files, and on copies that each have one thing wrong."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jsonschema
import msgspec
import pytest

from schemas import __main__ as command
from schemas import compat, generate
from schemas.catalog import BY_NAME, DEADLETTERS, OUTCOMES, REJECTIONS, SCANNERS, TOPICS, Topic, key_of
from schemas.check import check, check_catalog
from schemas.events import Action, Branch, Deferred, Disposition, Envelope, Event, Received, Scanner, Status


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a copy of everything that is committed."""
    for folder in ("json", "published", "examples"):
        shutil.copytree(generate.ROOT / folder, tmp_path / folder)
    return tmp_path


def test_what_is_committed_is_in_order() -> None:
    assert check() == []


def test_every_example_is_valid_by_its_committed_schema() -> None:
    names = generate.examples(generate.ROOT)
    for name in names:
        topic = name.partition("/")[0]
        schema = json.loads((generate.ROOT / "json" / f"{topic}.json").read_text())
        jsonschema.validate(json.loads((generate.ROOT / "examples" / name).read_text()), schema)
    assert len(names) >= len(TOPICS)


# --- generated files


def test_a_stale_schema_is_found_and_written_again(root: Path) -> None:
    path = root / "json" / "mail.outcomes.v1.json"
    path.write_text(path.read_text().replace('"total"', '"sum"'))
    assert check(root) == ["json/mail.outcomes.v1.json: stale; run `python -m schemas write`"]
    assert generate.write(root) == ["wrote json/mail.outcomes.v1.json"]
    assert check(root) == []


def test_a_missing_schema_is_found(root: Path) -> None:
    (root / "json" / "mail.outcomes.v1.json").unlink()
    assert check(root) == ["json/mail.outcomes.v1.json: missing; run `python -m schemas write`"]


def test_an_orphaned_schema_is_found_and_removed(root: Path) -> None:
    (root / "json" / "mail.removed.v1.json").write_text("{}")
    (problem,) = check(root)
    assert problem.startswith("json/mail.removed.v1.json: an orphan")
    assert generate.write(root) == ["removed json/mail.removed.v1.json"]
    assert check(root) == []


# --- examples


def test_an_edited_example_is_found_and_writing_does_not_hide_it(root: Path) -> None:
    path = root / "examples" / "scanners.v1" / "01-virus.json"
    path.write_text(path.read_text().replace("virus", "viruses"))
    generate.write(root)
    (problem,) = check(root)
    assert problem.startswith("examples/scanners.v1/01-virus.json: changed")


def test_a_removed_example_is_found_and_writing_does_not_hide_it(root: Path) -> None:
    (root / "examples" / "scanners.v1" / "01-virus.json").unlink()
    generate.write(root)
    assert check(root) == ["examples/scanners.v1/01-virus.json: gone; an example that was committed stays"]


def test_an_example_that_no_longer_decodes_is_found(root: Path) -> None:
    topics = replaced(SCANNERS, struct=changed_scanner("required", bool, "colour", str))
    problems = check(root, topics)
    assert any(p.startswith("examples/scanners.v1/01-virus.json: no longer decodes") for p in problems)


def test_a_new_example_must_be_listed(root: Path) -> None:
    (root / "examples" / "scanners.v1" / "03-new.json").write_text('{"name": "urls", "version": "3"}')
    assert check(root) == ["examples/scanners.v1/03-new.json: not in the index; run `python -m schemas write`"]
    assert generate.write(root) == ["listed examples/scanners.v1/03-new.json"]
    assert check(root) == []


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("scanners.v1/new.json", '{"name": "a", "version": "1"}', "named like 01-null-sender.json"),
        ("scanners.v2/01-new.json", '{"name": "a", "version": "1"}', "no topic is named scanners.v2"),
        ("scanners.v1/03-new.json", '{"name": "a"}', "missing required field `version`"),
    ],
)
def test_an_example_out_of_place_is_found(root: Path, path: str, content: str, expected: str) -> None:
    file = root / "examples" / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    generate.write(root)
    (problem,) = check(root)
    assert expected in problem


def test_a_topic_without_an_example_is_found(root: Path) -> None:
    new = Topic("mail.new.v1", Envelope, "client_ip", 1, 1, ("a",), ("b",))
    assert "mail.new.v1: has no example" in check(root, (*TOPICS, new))


def test_a_key_other_than_the_catalogue_says_is_found(root: Path) -> None:
    problems = check(root, replaced(SCANNERS, key="version"))
    assert "examples/scanners.v1/01-virus.json: key_of says virus, the catalogue's version makes 1" in problems, (
        problems
    )


# --- published versions


def replaced(topic: Topic, **changes: Any) -> tuple[Topic, ...]:
    new = dataclasses.replace(topic, **changes)
    return tuple(new if one is topic else one for one in TOPICS)


def changed_scanner(*fields: Any) -> type[Event]:
    """Return a struct named Scanner with fields given as name, type, name, type, …"""
    pairs: list[Any] = list(zip(fields[::2], fields[1::2], strict=True))
    return cast("type[Event]", msgspec.defstruct("Scanner", pairs, bases=(Event,), frozen=True, kw_only=True))


def test_a_forbidden_change_is_found_and_not_published(root: Path) -> None:
    topics = replaced(SCANNERS, struct=changed_scanner("name", str, "version", int, "required", bool))
    generate.write(root, topics)
    problems = check(root, topics)
    assert "scanners.v1: version: changed from string to integer" in problems
    assert "scanners.v1: required: became required" in problems
    before = (root / "published" / "scanners.v1.json").read_text()
    done, refused = generate.publish(root, topics)
    assert done == []
    assert refused
    assert (root / "published" / "scanners.v1.json").read_text() == before


def test_an_added_optional_field_is_fine_and_can_be_published(root: Path) -> None:
    struct = msgspec.defstruct(
        "Scanner",
        [("name", str), ("version", str), ("required", bool, True), ("colour", str, "")],
        bases=(Event,),
        frozen=True,
        kw_only=True,
    )
    topics = replaced(SCANNERS, struct=struct)
    generate.write(root, topics)
    of_the_test = {"scanners.v1: key_of: Scanner belongs to no topic", "Scanner: an event that no topic holds"}
    assert set(check(root, topics)) == of_the_test
    assert generate.publish(root, topics) == (["published scanners.v1.json"], [])
    assert "scanners.v1: colour: removed" in check(root)


def test_a_topic_that_leaves_the_catalogue_is_found(root: Path) -> None:
    problems = check(root, tuple(topic for topic in TOPICS if topic is not SCANNERS))
    assert any(problem.startswith("published/scanners.v1.json: the topic has left") for problem in problems)


def test_a_topic_that_was_never_published_is_found(root: Path) -> None:
    (root / "published" / "scanners.v1.json").unlink()
    assert check(root) == ["scanners.v1: not published; run `python -m schemas publish`"]


def test_a_changed_key_is_found(root: Path) -> None:
    topics = replaced(SCANNERS, key="name/version")
    assert any("scanners.v1: key changed from name to name/version" in problem for problem in check(root, topics))


def dispositions() -> dict[str, Any]:
    return generate.schema_of(BY_NAME["mail.dispositions.v1"])


def edit(change: Callable[[dict[str, Any]], object]) -> list[str]:
    schema = dispositions()
    change(schema["$defs"])
    return compat.changes(dispositions(), schema)


def test_the_same_schema_is_compatible_with_itself() -> None:
    for topic in TOPICS:
        assert compat.changes(generate.schema_of(topic), generate.schema_of(topic)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d["Branch"]["properties"].pop("rule"), ["branches[].rule: removed"]),
        (
            lambda d: d["Envelope"]["properties"]["helo"].update(type="integer"),
            ["received.envelope.helo: changed from string to integer"],
        ),
        (
            lambda d: d["Envelope"]["properties"]["tls"]["anyOf"].pop(),
            ["received.envelope.tls: changed from string or null to string"],
        ),
        (
            lambda d: d["Envelope"]["properties"]["tls"]["anyOf"][0].update(type="integer"),
            ["received.envelope.tls: changed from string to integer"],
        ),
        (lambda d: d["Envelope"]["required"].append("tls"), ["received.envelope.tls: became required"]),
        (
            lambda d: d["Envelope"]["required"].remove("client_ip"),
            ["received.envelope.client_ip: became optional, and a reader of the published version needs it"],
        ),
        (
            lambda d: (d["Branch"]["properties"].update(new={"type": "string"}), d["Branch"]["required"].append("new")),
            ["branches[].new: new and required; a new field needs a default"],
        ),
        (lambda d: d["Branch"]["properties"].update(new={"type": "string", "default": ""}), []),
        (lambda d: d["Action"]["enum"].remove("delete"), ["branches[].action: no longer takes 'delete'"]),
        (
            lambda d: d["Action"]["enum"].append("bounce"),
            ["branches[].action: newly takes 'bounce', which a reader of the published version can't decode"],
        ),
        (
            lambda d: d["Branch"]["properties"]["tag_subject"].update(default="[SPAM]"),
            ["branches[].tag_subject: default changed from '' to '[SPAM]'"],
        ),
        (
            lambda d: d["Disposition"]["properties"]["scanners"]["items"].update(type="integer"),
            ["scanners[]: changed from string to integer"],
        ),
        (
            lambda d: d["Branch"]["properties"]["add_headers"]["items"]["prefixItems"].append({"type": "string"}),
            ["branches[].add_headers[]: changed from array to array"],
        ),
        (lambda d: d["Branch"].update(additionalProperties=False), ["branches[]: changed from Branch to Branch"]),
        (lambda d: d["Branch"].update(description="Other words"), []),
        (
            lambda d: d["Disposition"]["properties"].update(received={"type": "string"}),
            ["received: changed from Received to string"],
        ),
    ],
)
def test_compatibility(change: Callable[[dict[str, Any]], object], expected: list[str]) -> None:
    assert edit(change) == expected


def test_a_default_that_is_a_struct_may_gain_a_field_and_change_nothing_else() -> None:
    schema = generate.schema_of(BY_NAME["customers.v1"])
    later = json.loads(json.dumps(schema))
    later["$defs"]["Rule"]["properties"]["when"]["default"]["attachments"] = []
    assert compat.changes(schema, later) == []
    later["$defs"]["Rule"]["properties"]["when"]["default"]["scanner"] = "virus"
    assert [line.split(":")[0] for line in compat.changes(schema, later)] == ["rules[].when"]


# --- the catalogue


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ((*TOPICS, SCANNERS), "scanners.v1: 2 topics of this name"),
        (replaced(SCANNERS, name="Scanners"), "Scanners: a topic is named in lower case with its version"),
        (replaced(SCANNERS, producers=()), "scanners.v1: nobody produces it"),
        (replaced(SCANNERS, consumers=()), "scanners.v1: nobody consumes it"),
        (replaced(DEADLETTERS, unread=""), "deadletters.v1: nobody consumes it"),
        (replaced(OUTCOMES, own_cut=5), "joined topics are cut differently"),
        (replaced(SCANNERS, own_cut=-1), "scanners.v1: -1 partitions"),
        (replaced(REJECTIONS, retention_ms=0), "mail.rejections.v1: retention of 0 ms"),
        (replaced(SCANNERS, struct=REJECTIONS.struct), "Rejection: in mail.rejections.v1 and scanners.v1"),
        (tuple(topic for topic in TOPICS if topic is not SCANNERS), "Scanner: an event that no topic holds"),
    ],
)
def test_what_is_wrong_with_the_catalogue_is_found(topics: tuple[Topic, ...], expected: str) -> None:
    problems = list(check_catalog(topics, [Scanner, Received, Envelope]))
    assert any(problem.startswith(expected) for problem in problems), problems


def test_what_waits_for_two_releases_of_a_message_lies_under_two_keys() -> None:
    envelope = Envelope(reverse_path="", recipients=("a@x.example", "b@x.example"), client_ip="192.0.2.1")
    received = Received(
        id="ID",
        customer="c",
        domain="x.example",
        key="k",
        envelope=envelope,
        size=1,
        received_at=1,
        server="s",
        plan=(),
    )
    branch = Branch(recipients=("a@x.example",), action=Action.DELIVER, rule="r", reason="")

    def key(release: str) -> str:
        disposition = Disposition(
            received=received, branches=(branch,), status=Status.CLEAN, score=0, decided_at=1, release=release
        )
        return key_of(
            Deferred(disposition=disposition, branch=0, recipients=(), attempts=0, since=1, next_at=1, reply="")
        )

    assert [key(""), key("R1"), key("R2")] == ["ID/0", "ID/R1/0", "ID/R2/0"]


# --- the command


@pytest.mark.parametrize("arguments", [[], ["chekc"], ["check", "more"]])
def test_wrong_usage_is_told_on_stderr(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_the_command_answers_0_when_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check"]) == 0
    assert capsys.readouterr().out == ""


def test_the_command_answers_1_and_a_line_for_each_problem(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "json" / "scanners.v1.json").unlink()
    (root / "json" / "customers.v1.json").unlink()
    assert command.main(["check"], root) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert command.main(["write"], root) == 0
    capsys.readouterr()
    assert command.main(["check"], root) == 0
    assert command.main(["publish"], root) == 0


def test_a_key_may_grow_by_a_field_that_old_records_have_empty(root: Path) -> None:
    file = root / "published" / "recipients.v1.json"
    text = file.read_text()
    assert '"x-key": "customer/digest/source"' in text
    file.write_text(text.replace("customer/digest/source", "customer/digest"))
    assert check(root) == []
    file.write_text(text.replace("customer/digest/source", "customer"))
    assert any("key changed from customer to customer/digest/source" in problem for problem in check(root))
