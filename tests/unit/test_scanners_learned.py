"""The classifier: the same file from the same messages, damage is noticed, what it learned decides and is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.core.errors import ConfigError
from services.scanners.learned import fit, model
from services.scanners.learned.explain import in_words
from services.scanners.learned.train import train

WORDS = {"ham": "meeting minutes attached agenda", "spam": "winner casino jackpot pills"}


def folder(where: Path, kind: str, names: range) -> Path:
    where.mkdir(parents=True)
    for number in names:
        text = f"From: a{number}@s{number}.test\nSubject: {WORDS[kind]}\n\n{WORDS[kind]} {number}\n"
        (where / f"{number}.eml").write_text(text)
    return where


def test_the_same_messages_give_the_same_octets(tmp_path: Path) -> None:
    ham, spam = folder(tmp_path / "h", "ham", range(25)), folder(tmp_path / "s", "spam", range(25))
    first = train(ham, spam)
    for number in range(25):  # names of files say nothing
        (ham / f"{number}.eml").rename(ham / f"x{25 - number}")
    assert train(ham, spam) == first
    learned = model.load(first, "a model")
    more, shares = learned.weigh({"word:casino", "word:jackpot"})
    less, _ = learned.weigh({"word:agenda", "word:minutes"})
    assert more > 0 > less
    assert "casino" in in_words(shares, spam=True)


def test_feedback_changes_what_is_learned(tmp_path: Path) -> None:
    ham, spam = folder(tmp_path / "h", "ham", range(25)), folder(tmp_path / "s", "spam", range(25))
    folder(tmp_path / "told" / "ham", "spam", range(100, 125))
    before = model.load(train(ham, spam), "").weigh({"word:casino"})[0]
    assert model.load(train(ham, spam, [tmp_path / "told"]), "").weigh({"word:casino"})[0] < before


def test_too_little_or_nothing_there(tmp_path: Path) -> None:
    ham, spam = folder(tmp_path / "h", "ham", range(25)), folder(tmp_path / "s", "spam", range(5))
    with pytest.raises(ConfigError, match="too few"):
        train(ham, spam)
    with pytest.raises(ConfigError, match="no folder"):
        train(ham, tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="neither"):
        train(ham, ham, [ham])


@pytest.mark.parametrize("change", [b"", b"GATEPOST-MODEL 9 x\n{}", b"junk"])
def test_what_is_no_model(change: bytes) -> None:
    with pytest.raises(ConfigError):
        model.load(change, "x")


def test_a_damaged_model_is_refused() -> None:
    data = model.dump(["word:a"], [1.0], 0.0, 1, 1)
    model.load(data, "x")
    with pytest.raises(ConfigError, match="damaged"):
        model.load(data.replace(b"word:a", b"word:b"), "x")


def test_a_word_of_two_senders_is_not_learned() -> None:
    examples = [fit.Example(frozenset({"word:secret"}), spam=True, source=str(number % 2)) for number in range(9)]
    assert fit.vocabulary(examples, 3, 3) == []


def test_many_words_do_not_drown_the_form() -> None:
    names = [f"word:{number}" for number in range(400)]
    learned = model.load(model.dump([*names, "path:no-name"], [0.01] * 400 + [-1.0], 0.0, 1, 1), "x")
    margin, shares = learned.weigh({*names, "path:no-name"})
    assert margin < 0
    assert abs(shares["path:no-name"]) > sum(shares[name] for name in names)


def test_two_words_in_a_row_must_come_from_more_senders() -> None:
    examples = [fit.Example(frozenset({"two:a b", "word:a"}), spam=True, source=str(number % 4)) for number in range(9)]
    assert fit.vocabulary(examples, 3, 6) == ["word:a"]


def test_the_shipped_model() -> None:
    assert len(model.open_model("")) > 5_000
