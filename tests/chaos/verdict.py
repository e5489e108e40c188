"""Was anything lost, sent twice unseen, or let through? Judged from outside, by the ids at both ends. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from schemas.events import Outcome, State

Pair = tuple[str, str]  # message and recipient


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """A message that had its 250, as the sender knows it."""

    id: str
    token: str
    kind: str  # clean, held, virus, spam
    recipients: tuple[str, ...]


@dataclasses.dataclass
class Verdict:
    """What a run came to; every list but the last names message and recipient."""

    lost: list[str] = dataclasses.field(default_factory=list)  # no terminal outcome, or delivered by word alone
    torn: list[str] = dataclasses.field(default_factory=list)  # two terminal outcomes that contradict each other
    doubled: list[str] = dataclasses.field(default_factory=list)  # arrived twice without being recorded as possible
    leaked: list[str] = dataclasses.field(default_factory=list)  # arrived although policy stopped it
    states: Counter[str] = dataclasses.field(default_factory=Counter)
    recorded: int = 0  # duplicates that are recorded as possible
    repeated: int = 0  # outcomes that were published again, the same: at least once

    @property
    def failures(self) -> list[str]:
        """Return a line for each thing that must not be."""
        named = (("lost", self.lost), ("torn", self.torn), ("doubled", self.doubled), ("leaked", self.leaked))
        return [f"{name}: {each}" for name, some in named for each in some]


def outcomes_of(outcomes: Iterable[Outcome]) -> dict[Pair, list[Outcome]]:
    """Return every outcome of each message and recipient, in the order published."""
    found: defaultdict[Pair, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        for recipient in outcome.recipients:
            found[outcome.id, recipient].append(outcome)
    return found


def open_pairs(sent: Iterable[Sent], ended: Mapping[Pair, list[Outcome]]) -> list[Pair]:
    """Return who still waits for a terminal outcome."""
    return [(one.id, recipient) for one in sent for recipient in one.recipients if (one.id, recipient) not in ended]


def judge(
    sent: Iterable[Sent],
    ended: Mapping[Pair, list[Outcome]],
    arrived: Mapping[Pair, int],
    stopped_tokens: Mapping[str, str],
    arrived_tokens: Iterable[str],
) -> Verdict:
    """Return the verdict. `stopped_tokens`: token → kind of all that must never arrive, accepted or not."""
    verdict = Verdict()
    for one in sent:
        for recipient in one.recipients:
            pair = (one.id, recipient)
            _judge(
                verdict, f"{one.id} {recipient} ({one.kind}, {one.token})", ended.get(pair, []), arrived.get(pair, 0)
            )
    verdict.leaked += sorted(
        f"{token} ({stopped_tokens[token]})" for token in set(arrived_tokens) & set(stopped_tokens)
    )
    return verdict


def _judge(verdict: Verdict, name: str, ends: list[Outcome], copies: int) -> None:
    states = {end.state for end in ends}
    if not ends:
        verdict.lost.append(f"{name}: no outcome, arrived {copies} times")
        return
    verdict.states[ends[0].state.value] += 1
    if len(states) > 1:
        verdict.torn.append(f"{name}: {', '.join(end.state.value for end in ends)}")
    if State.WITHDRAWN in states and not copies:
        verdict.lost.append(f"{name}: withdrawn, though it had its 250")
    verdict.repeated += len(ends) - 1
    if State.DELIVERED in states and not copies:
        verdict.lost.append(f"{name}: delivered by its outcome, never arrived")
    if copies > 1:
        if any(end.possible_duplicate for end in ends):
            verdict.recorded += copies - 1
        else:
            verdict.doubled.append(f"{name}: arrived {copies} times")
