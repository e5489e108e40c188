"""Who would have been treated otherwise, and why. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from schemas.events import Branch, Customer, Disposition, Outcome, Pending, Received, Status, Verdict
from services.core.directory_groups import Membership, in_none, with_groups
from services.core.outbreak import SCANNER
from services.core.senders import Senders, names_of
from services.policy.decide import FRONT, Hold, Treated, treat


@dataclasses.dataclass(frozen=True, slots=True)
class Treatment:
    """What happens to a message for one recipient."""

    action: str  # an Action, `hold`, or `withdraw`
    rule: str = ""
    reason: str = ""
    redirect_to: str = ""
    tag_subject: str = ""
    add_headers: tuple[tuple[str, str], ...] = ()
    refuse: bool = False
    encrypt: bool = False
    bcc: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    stamp: str = ""
    strip: tuple[str, ...] = ()

    @property
    def effect(self) -> tuple[object, ...]:
        """Return what somebody would notice: the name of the rule that did it is not part of that."""
        said = (self.action, self.redirect_to, self.tag_subject, self.add_headers, self.bcc, self.notify, self.stamp)
        return (*said, self.refuse, self.encrypt, self.strip)

    @property
    def brief(self) -> str:
        """Return it in a few words."""
        more = [f"to {self.redirect_to}"] if self.redirect_to else []
        more += [f"tagged {self.tag_subject}"] if self.tag_subject else []
        more += [f"{name}: {value}" for name, value in self.add_headers]
        more += ["refused"] if self.refuse else []
        more += ["over TLS"] if self.encrypt else []
        more += [f"stamped {self.stamp}"] if self.stamp else []
        more += [f"without attachments: {', '.join(self.strip)}"] if self.strip else []
        more += [f"copy to {address}" for address in self.bcc]
        more += [f"tells {address}" for address in self.notify]
        return ", ".join([self.action, *more])


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Recipients of one message who would have been treated otherwise."""

    id: str
    customer: str
    recipients: tuple[str, ...]
    before: Treatment
    after: Treatment
    changes: tuple[str, ...] = ()  # which candidate scanner said what else
    drifted: bool = False  # without any candidate too: the customer's rules are no longer those of then


def complete(disposition: Disposition, verdicts: Iterable[Verdict]) -> bool:
    """Return whether the verdicts that the disposition was made of are all there."""
    there = {f"{v.scanner}/{v.version}={v.status.value}" for v in verdicts}
    return all(name in there or name.startswith(f"{FRONT}/") for name in disposition.scanners)


def joined(disposition: Disposition, verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return of each scanner the verdict that the disposition was made of."""
    wanted = set(disposition.scanners)
    found = {v.scanner: v for v in verdicts if f"{v.scanner}/{v.version}={v.status.value}" in wanted}
    return tuple(found.values())


def as_joined(verdicts: Iterable[Verdict], disposition: Disposition) -> tuple[Verdict, ...]:
    """Return the verdicts with what policy knew beside them: that the message was one of a burst."""
    prefix = f"{SCANNER}/"
    said = next((name.rpartition("=")[2] for name in disposition.scanners if name.startswith(prefix)), "")
    joined = []
    for verdict in verdicts:
        if verdict.scanner == SCANNER and said not in {"", verdict.status.value}:
            burst = tuple(each for each in disposition.evidence if each.code.startswith("OUTBREAK"))
            score = verdict.score + sum(each.score for each in burst)
            evidence = (*verdict.evidence, *burst)
            status = type(verdict.status)(said)
            joined.append(msgspec.structs.replace(verdict, status=status, score=score, evidence=evidence))
        else:
            joined.append(verdict)
    return tuple(joined)


def with_candidates(verdicts: Sequence[Verdict], candidates: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Return the verdicts with those of candidates in the place of their scanners' own."""
    names = {candidate.scanner for candidate in candidates}
    return (*(verdict for verdict in verdicts if verdict.scanner not in names), *candidates)


@dataclasses.dataclass(frozen=True, slots=True)
class Beside:
    """What policy knows beside the rules, as it is today: approved and blocked senders, and who is in which group."""

    senders: Senders | None = None
    groups_of: Membership = in_none


NOTHING_BESIDE: Final = Beside()


def treatments(
    received: Received, verdicts: Sequence[Verdict], customer: Customer, now: float, beside: Beside
) -> dict[str, Treatment]:
    """Return what policy does for each recipient, given these verdicts, these rules and what is beside them."""
    return treated(pending_of(received, verdicts), customer, now, beside)


def pending_of(received: Received, verdicts: Sequence[Verdict]) -> Pending:
    """Return the message as policy has it once these scanners, and no others, were to answer and have answered."""
    plan = tuple(dict.fromkeys((*received.plan, *(verdict.scanner for verdict in verdicts))))
    heard: dict[str, Verdict] = {}
    for verdict in verdicts:
        before = heard.get(verdict.scanner)
        if before is None or before.status is Status.UNAVAILABLE:  # as `merge` does it, one at a time
            heard[verdict.scanner] = verdict
    return Pending(
        id=received.id, received=msgspec.structs.replace(received, plan=plan), verdicts=tuple(heard.values())
    )


def treated(pending: Pending, customer: Customer, now: float, beside: Beside) -> dict[str, Treatment]:
    """Return the same for a message that all have answered on."""
    received = pending.received
    if received is None:
        return {}
    customer = with_groups(customer, received.envelope.recipients, beside.groups_of)
    names = names_of(received.envelope.reverse_path)
    lists = partial(beside.senders.find, customer, senders=names) if beside.senders is not None and names else None
    answer = treat(pending, customer, now, lists)
    if isinstance(answer, Treated):
        return of_branches(answer.branches)
    if isinstance(answer, Hold):
        silent = [v.scanner for v in pending.verdicts if v.status is Status.UNAVAILABLE]
        treatment = Treatment("hold", reason=f"{', '.join(silent) or 'a scanner'} could not tell")
    else:
        treatment = Treatment("withdraw" if isinstance(answer, Outcome) else "nothing")
    return dict.fromkeys(received.envelope.recipients, treatment)


def of_branches(branches: Iterable[Branch]) -> dict[str, Treatment]:
    """Return what branches mean for each recipient."""
    return {
        recipient: Treatment(
            branch.action.value,
            branch.rule,
            branch.reason,
            branch.redirect_to,
            branch.tag_subject,
            branch.add_headers,
            branch.refuse,
            branch.encrypt,
            branch.bcc,
            branch.notify,
            branch.stamp,
            branch.strip,
        )
        for branch in branches
        for recipient in branch.recipients
    }


def differences(
    received: Received,
    before: Mapping[str, Treatment],
    after: Mapping[str, Treatment],
    changes: Sequence[str] = (),
) -> list[Difference]:
    """Return who is treated otherwise, recipients with the same change together."""
    together: dict[tuple[Treatment, Treatment], list[str]] = {}
    for recipient, then in before.items():
        now = after.get(recipient, Treatment("nothing"))
        if then.effect != now.effect:
            together.setdefault((then, now), []).append(recipient)
    return [
        Difference(received.id, received.customer, tuple(names), then, now, tuple(changes))
        for (then, now), names in together.items()
    ]


def changed(recorded: Verdict | None, candidate: Verdict) -> str | None:
    """Return in words what a candidate says otherwise, None when it says the same."""
    if recorded is None:
        return f"{candidate.scanner} says {candidate.status.value}{_because(candidate)}"
    if (recorded.status, round(recorded.score, 2), _codes(recorded)) == (
        candidate.status,
        round(candidate.score, 2),
        _codes(candidate),
    ):
        return None
    return (
        f"{candidate.scanner}: {recorded.status.value} {recorded.score:.1f} before,"
        f" {candidate.status.value} {candidate.score:.1f} now{_because(candidate)}"
    )


def _codes(verdict: Verdict) -> frozenset[str]:
    return frozenset(evidence.code for evidence in verdict.evidence)


def _because(verdict: Verdict) -> str:
    return f" ({verdict.evidence[0].text})" if verdict.evidence else ""
