"""What happens to a message, from its verdicts and the customer's rules. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from schemas.events import (
    Action,
    Branch,
    Contact,
    Customer,
    Disposition,
    Group,
    Match,
    Outcome,
    Pending,
    Received,
    Rule,
    State,
    Status,
    Verdict,
)
from services.core.customer_rules import GROUP
from services.core.direction import INBOUND_ONLY, outbound, written_here
from services.core.directory_groups import DIRECTORY
from services.core.strip import hits
from services.core.trial import UNTRIED, tries
from services.policy import data_loss
from services.policy.defaults import LAST, OUTBOUND_RULES, RULES, UNSCANNED_HEADER
from services.policy.lists import Lists, approved, blocked, counts, severe, without_spam

DAY = 86_400.0
RESCAN_FIRST, RESCAN_MOST = 2.0, 300.0  # seconds between questions to a scanner that was unavailable
OWN = "own-mail"  # the rule of what we wrote ourselves
FRONT = "front"  # the name under which rules may mean what the door saw
EVIDENCE_MOST = 20  # pieces that a disposition carries; each verdict has its own in full
LOST_FIRST, LOST_MOST = 60.0, 600.0  # seconds without any answer after which a question counts as lost

Groups = Mapping[str, frozenset[str]]  # as conditions name them → who belongs to them, case folded
NOBODY: Groups = {}

_SEVERITY = {
    Status.GONE: 0,
    Status.CLEAN: 1,
    Status.UNAVAILABLE: 2,
    Status.SUSPICIOUS: 3,
    Status.SPAM: 4,
    Status.PHISHING: 5,
    Status.VIRUS: 6,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """Policy can't act yet. `ask` names the scanners to ask again, none when their answers are only awaited."""

    ask: tuple[str, ...] = ()


def merge(pending: Pending, verdict: Verdict) -> Pending:
    """Return the pending message with the verdict in its set; a scanner's first answer counts, save `unavailable`."""
    others = tuple(v for v in pending.verdicts if v.scanner != verdict.scanner)
    same = next((v for v in pending.verdicts if v.scanner == verdict.scanner), None)
    if same is not None and same.status is not Status.UNAVAILABLE:
        return pending
    return msgspec.structs.replace(pending, verdicts=(*others, verdict))


def with_received(pending: Pending | None, received: Received, origin: int) -> Pending:
    """Return the pending message once its Received event is known."""
    return msgspec.structs.replace(pending or Pending(id=received.id), received=received, origin=origin)


def asked(pending: Pending, now: float) -> Pending:
    """Return the pending message after its scanners were asked again.

    A process that dies between this and the question leaves one that nobody answers: it counts as lost after a while,
    longer with each try, so that scanners with a backlog aren't asked ever more.
    """
    lost = min(LOST_MOST, LOST_FIRST * 2 ** min(pending.attempt, 12))
    return msgspec.structs.replace(pending, attempt=pending.attempt + 1, rescan_at=now + lost)


def with_rescan_at(pending: Pending, when: float) -> Pending:
    """Return the pending message with the time of its next question."""
    return msgspec.structs.replace(pending, rescan_at=when)


def rescan_delay(attempt: int, chance: float) -> float:
    """Return the seconds until an unavailable scanner is asked again: doubling, capped, ±20 % by `chance` in 0..1."""
    return float(min(RESCAN_MOST, RESCAN_FIRST * 2 ** min(attempt, 12))) * (0.8 + 0.4 * chance)


def decide(
    pending: Pending, customer: Customer, now: float, lists: Lists | None = None
) -> Hold | Disposition | Outcome | None:
    """Return what follows from the verdicts that are there.

    `Hold` while a required scanner has not answered or could not tell (invariant 5); None for a message that ended
    before: it was published again while its last outcome was under way.
    """
    answer = treat(pending, customer, now, lists)
    if isinstance(answer, Treated) and pending.received is not None:
        return _disposition(pending.received, answer.answers, answer.branches, now)
    return None if isinstance(answer, Treated) else answer


@dataclasses.dataclass(frozen=True, slots=True)
class Treated:
    """What is done with a message, and the answers that it was decided by."""

    answers: Mapping[str, Verdict]
    branches: tuple[Branch, ...]


def treat(pending: Pending, customer: Customer, now: float, lists: Lists | None) -> Hold | Treated | Outcome | None:
    """Return the same as `decide`, without the report of it that a disposition is."""
    received = pending.received
    if received is None:
        return Hold()
    if received.own or received.bounce_of:
        return Treated({}, (_ours(received),))
    if not outbound(received) and not any(tries(customer, each) for each in received.envelope.recipients):
        # The customer has said so: who isn't part of a trial must not wait for its scanners.
        return Treated({}, _group(map(_untried, received.envelope.recipients)))
    return _treat(pending, received, customer, now, lists)


def _ours(received: Received) -> Branch:
    """What we wrote ourselves: no rule of the customer's holds it back, turns it round or marks it."""
    reason = received.own or "notification"
    return Branch(recipients=received.envelope.recipients, action=Action.DELIVER, rule=OWN, reason=reason)


def _untried(recipient: str) -> Branch:
    return Branch(recipients=(recipient,), action=Action.DELIVER, rule=UNTRIED, reason="not part of the trial")


def _treat(
    pending: Pending, received: Received, customer: Customer, now: float, lists: Lists | None
) -> Hold | Treated | Outcome | None:
    answers = {verdict.scanner: verdict for verdict in pending.verdicts}
    if outbound(received):
        # No list of approved senders: theirs is an inbound matter, and the customer must not approve its own spam.
        lists = None
        answers = {name: answers[name] for name in answers if name not in INBOUND_ONLY}
    if received.front:
        answers[FRONT] = _front(received)
    if any(verdict.status is Status.GONE for verdict in pending.verdicts):
        return None if received.recovered else _outcome(received, State.WITHDRAWN, received.envelope.recipients, now)
    if any(name not in answers for name in received.plan):
        return Hold()
    needed = (*received.plan, *data_loss.unasked(received, customer.outbound))
    missing = tuple(name for name in needed if name not in answers or answers[name].status is Status.UNAVAILABLE)
    if missing:
        overdue = now >= received.received_at + customer.queue_days * DAY
        if customer.hold_unscanned and not overdue:
            return Hold(ask=missing)
        action = Action.QUARANTINE if customer.hold_unscanned else customer.unscanned
        return Treated(answers, _unscanned(received, answers, missing, action, customer, lists))
    return Treated(answers, branches(received, answers, customer, lists))


def _front(received: Received) -> Verdict:
    """Return what the door saw as rules see a scanner's answer; by itself it calls no message anything."""
    return Verdict(
        id=received.id,
        customer=received.customer,
        scanner=FRONT,
        version="1",
        status=Status.CLEAN,
        score=sum(evidence.score for evidence in received.front),
        evidence=received.front,
        scanned_at=received.received_at,
        origin=-1,
    )


def _unscanned(
    received: Received,
    answers: Mapping[str, Verdict],
    missing: Sequence[str],
    action: Action,
    customer: Customer,
    lists: Lists | None,
) -> tuple[Branch, ...]:
    """What the other scanners found still stops a message; the choice for unscanned mail covers the rest."""
    names = ", ".join(missing)
    rule = Rule(name="unscanned", action=action, add_headers=((UNSCANNED_HEADER, names),))
    chosen = [
        branch
        if branch.action is not Action.DELIVER or branch.rule == UNTRIED
        else _unscanned_branch(branch, rule, f"not scanned by {names}")
        for branch in _each(received, answers, customer, lists)
    ]
    return _group(chosen)


def _unscanned_branch(branch: Branch, rule: Rule, reason: str) -> Branch:
    made = _branch(branch.recipients, [rule], reason, branch.redirect_to)
    return msgspec.structs.replace(
        made, encrypt=branch.encrypt, bcc=branch.bcc, notify=branch.notify, strip=branch.strip, packed=branch.packed
    )


def branches(
    received: Received, answers: Mapping[str, Verdict], customer: Customer, lists: Lists | None = None
) -> tuple[Branch, ...]:
    """Return lists and the customer's rules applied to each recipient, recipients with equal results together."""
    return _group(_each(received, answers, customer, lists))


def _each(received: Received, answers: Mapping[str, Verdict], customer: Customer, lists: Lists | None) -> list[Branch]:
    if outbound(received):
        stops = data_loss.rules_of(customer.outbound, received.envelope.reverse_path)
        rules = (*stops, *(customer.outbound.rules or OUTBOUND_RULES), LAST)
    else:
        rules = (*(customer.rules or RULES), LAST)
    recipients = dict.fromkeys(received.envelope.recipients)
    groups = _members(customer.groups) if customer.groups else {}
    chosen: list[Branch] = []
    if not outbound(received):
        chosen = [_untried(each) for each in recipients if not tries(customer, each)]
        recipients = {each: None for each in recipients if tries(customer, each)}
    if lists is None or severe(answers):
        return [*chosen, *(_apply(rules, received, answers, recipient, groups) for recipient in recipients)]
    calm = without_spam(answers)
    for recipient in recipients:
        listed = lists(recipient)
        if listed is None:
            chosen.append(_apply(rules, received, answers, recipient, groups))
        elif not listed.entry.approved:
            chosen.append(blocked(_apply(rules, received, answers, recipient, groups), listed))
        elif counts(customer, received.envelope.reverse_path, answers):
            chosen.append(approved(_apply(rules, received, calm, recipient, groups), listed))
        else:
            chosen.append(_apply(rules, received, answers, recipient, groups))
    return chosen


@functools.lru_cache(maxsize=256)
def _members(groups: tuple[Group, ...]) -> Groups:
    named = ((each.name if each.name.startswith(DIRECTORY) else f"{GROUP}{each.name}", each) for each in groups)
    return {name: frozenset(map(str.casefold, group.members)) for name, group in named}


def _apply(
    rules: Iterable[Rule], received: Received, answers: Mapping[str, Verdict], recipient: str, groups: Groups
) -> Branch:
    """Walk the rules: tags, headers and copies add up, the first action ends the walk and gives its name and reason."""
    walked: list[Rule] = []
    redirect = ""
    for rule in rules:
        if rule.off:
            continue
        reason = _matches(rule.when, received, answers, recipient, groups)
        if reason is None:
            continue
        walked.append(rule)
        redirect = redirect or rule.redirect_to
        if rule.action is not None:
            reason = reason or ("no rule objects" if rule.action is Action.DELIVER else "every message")
            return _holding(_branch((recipient,), walked, reason, redirect), answers)
    raise AssertionError("the last rule always matches")


def _branch(recipients: tuple[str, ...], walked: Sequence[Rule], reason: str, redirect: str) -> Branch:
    last = walked[-1]
    return Branch(
        recipients=recipients,
        action=last.action or Action.DELIVER,
        rule=last.name,
        reason=reason,
        tag_subject="".join(dict.fromkeys(rule.tag_subject for rule in walked)),
        add_headers=tuple(header for rule in walked for header in rule.add_headers),
        redirect_to=redirect,
        refuse=last.refuse,
        encrypt=any(rule.encrypt for rule in walked),
        stamp=" ".join(dict.fromkeys(rule.stamp for rule in walked if rule.stamp)),
        strip=tuple(dict.fromkeys(kind for rule in walked for kind in rule.strip)),
        bcc=tuple(dict.fromkeys(address for rule in walked for address in rule.bcc)),
        notify=tuple(dict.fromkeys(address for rule in walked for address in rule.notify)),
    )


def _holding(branch: Branch, answers: Mapping[str, Verdict]) -> Branch:
    """Return the branch with what scanners found, within archives, of the attachments that it takes out."""
    if not branch.strip:
        return branch
    found = (kind for verdict in answers.values() for kind in hits(branch.strip, verdict.packed))
    return msgspec.structs.replace(branch, packed=tuple(dict.fromkeys(found)))


def _group(chosen: Iterable[Branch]) -> tuple[Branch, ...]:
    together: dict[Branch, list[str]] = {}
    for branch in chosen:
        together.setdefault(msgspec.structs.replace(branch, recipients=()), []).extend(branch.recipients)
    return tuple(msgspec.structs.replace(branch, recipients=tuple(names)) for branch, names in together.items())


def _matches(
    when: Match, received: Received, answers: Mapping[str, Verdict], recipient: str, groups: Groups
) -> str | None:
    """Return why the condition holds, in words, empty where nothing is asked for; None when it doesn't."""
    if not _fits(when, received, recipient, groups):
        return None
    reasons: list[str] = []
    for found in _found(when, answers):
        if not found:
            return None
        reasons += found
    return "; ".join(reasons or _known(when, received))


def _known(when: Match, received: Received) -> Iterator[str]:
    """Yield what a condition that asks no scanner goes by. Not which recipient: those treated alike share a branch."""
    if when.senders:
        yield f"from {received.envelope.reverse_path or '<>'}"
    if when.recipients:
        yield "by recipient"
    if when.min_size is not None or when.max_size is not None:
        yield f"size {received.size}"


def _found(when: Match, answers: Mapping[str, Verdict]) -> Iterator[list[str]]:
    """Yield what each condition on verdicts finds, in words; an empty list where it doesn't hold."""
    heard = [v for v in answers.values() if not when.scanner or v.scanner == when.scanner]
    if when.status:
        yield [f"{v.scanner} says {v.status.value}{_because(v)}" for v in heard if v.status in when.status]
    if when.min_score is not None:
        score = sum(verdict.score for verdict in heard)
        yield [f"score {score:.1f} of {when.min_score:g}"] if score >= when.min_score else []
    if when.evidence:
        yield [e.text for verdict in heard for e in verdict.evidence if e.code in when.evidence][:3]
    if when.auth:
        results = (f"{method}={text.split(' ', 1)[0]}" for v in answers.values() for method, text in v.results)
        yield [result for result in dict.fromkeys(results) if result in when.auth]
    if when.attachments:
        yield [f"attachment {kind}" for v in answers.values() for kind in v.files if kind in when.attachments][:3]


def _fits(when: Match, received: Received, recipient: str, groups: Groups) -> bool:
    """Return whether what is known without any scanner is as the condition wants it."""
    if when.recipients and not _listed(recipient, when.recipients, groups):
        return False
    if when.senders and not _listed(received.envelope.reverse_path, when.senders):
        return False
    least = received.size if when.min_size is None else when.min_size
    most = received.size if when.max_size is None else when.max_size
    return least <= received.size <= most


def _because(verdict: Verdict) -> str:
    return f" ({verdict.evidence[0].text})" if verdict.evidence else ""


def _listed(address: str, names: Iterable[str], groups: Groups = NOBODY) -> bool:
    """Return whether the address or its @domain is in the list; case never tells addresses apart here."""
    folded = address.casefold()
    _, at, domain = folded.rpartition("@")
    said = {folded, at + domain}
    return any(name.casefold() in said or not said.isdisjoint(groups.get(name, ())) for name in names)


def _disposition(
    received: Received, answers: Mapping[str, Verdict], chosen: tuple[Branch, ...], now: float
) -> Disposition:
    heard = [answers[name] for name in sorted(answers)]
    evidence = sorted((e for v in heard for e in v.evidence), key=lambda e: -abs(e.score))
    return Disposition(
        received=received,
        branches=chosen,
        status=max((v.status for v in heard), key=_SEVERITY.__getitem__, default=Status.CLEAN),
        score=round(sum(v.score for v in heard), 3),
        evidence=tuple(evidence[:EVIDENCE_MOST]),
        auth_results=tuple(pair for v in heard for pair in v.results),
        scanners=tuple(f"{v.scanner}/{v.version}={v.status.value}" for v in heard),
        decided_at=now,
        prints=tuple(dict.fromkeys(found for v in heard for found in v.prints)),
    )


def contacts(disposition: Disposition, verdicts: Sequence[Verdict]) -> tuple[Contact, ...]:
    """Return the correspondent to be remembered: the sender of a message that is clean in all and is delivered."""
    delivered = any(branch.action is Action.DELIVER for branch in disposition.branches)
    if disposition.status is not Status.CLEAN or not delivered or outbound(disposition.received):
        return ()
    digests = dict.fromkeys(verdict.contact for verdict in verdicts if verdict.contact)
    customer = disposition.received.customer
    return tuple(Contact(customer=customer, digest=each, at=disposition.decided_at) for each in digests)


def deleted(disposition: Disposition, now: float) -> Outcome | None:
    """Return the outcome of the recipients for whom policy deletes the message, None when there are none."""
    gone = [b for b in disposition.branches if b.action is Action.DELETE and not b.refuse]  # those delivery refuses
    names = tuple(r for b in gone for r in b.recipients)
    return _outcome(disposition.received, State.DELETED, names, now) if names else None


def _outcome(received: Received, state: State, recipients: tuple[str, ...], now: float) -> Outcome:
    return Outcome(
        id=received.id,
        customer=received.customer,
        key=received.key,
        recipients=recipients,
        total=len(set(received.envelope.recipients)),
        state=state,
        at=now,
        received_at=received.received_at,
        direction=received.direction,
        own=written_here(received),
    )
