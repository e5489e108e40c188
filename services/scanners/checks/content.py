"""What a message says: rspamd where there is one, our rules and classifier otherwise, and GTUBE always."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.events import Evidence, Status
from services.core.errors import EngineUnavailable
from services.scanners.contract import ContentReply, Context, Cost, Finding, Port, Spec
from services.scanners.decide import SPAM_FROM, SUSPICIOUS_FROM, by_score
from services.scanners.facts import gather
from services.scanners.heuristics import GTUBE_SCORE, apply, has_gtube
from services.scanners.learned.explain import in_words
from services.scanners.learned.features import consistent, features, one_place
from services.scanners.learned.model import open_model
from services.scanners.mail import Mail
from services.scanners.rule import Rule
from services.scanners.text import clean

SPEC: Final = Spec(name="content", version="4", cost=Cost.CPU, timeout=30.0, ports=frozenset({Port.RSPAMD, Port.MODEL}))

_ENGINE: Final = "gatepost-content 4"
_SYMBOLS: Final = 10  # of rspamd's, those that weigh most
_AUTH: Final = ("R_SPF_", "R_DKIM_", "DKIM_", "DMARC_", "ARC_")  # its symbols of what our auth scanner judges
_SLOPE: Final = 40.0  # points of score for 1 of margin
_CUT: Final = -0.1  # the margin from which the classifier calls a message spam
_DOUBTFUL: Final = 0.2  # the margin up to which it is not believed alone: short modern mail is strange to it
_SUPPORT: Final = 2.5  # points of rules, whatever they count for, that confirm it
# what whoever sends through a service has: an invoice as well as spam, so it confirms nothing
_BY_A_SERVICE: Final = frozenset({"ID_ELSEWHERE", "RETURN_ELSEWHERE"})
_CONSISTENT: Final = 0.3  # of margin: a sender that is who it says must do worse to be called spam
_ONE_PLACE: Final = 0.6  # of margin: so must what leads to, and is left at, the very place that it came from
_THIN, _FULL = 1.4, 1.8  # weight of all that was known of a message: below, too little to call it spam; above, enough
_THIN_MOST: Final = 2.0  # points of the classifier for a message that it knows too little of
_LEAST, _MOST = -5.0, 20.0  # points of the classifier: it never outweighs what rules are sure of
_PHISHING_FROM: Final = 5.0  # points of rules for phishing that make spam phishing


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return SPAM, PHISHING, SUSPICIOUS or CLEAN by the score, with the rules that made it."""
    bodies = [part.data for part in mail.parts if part.content_type.startswith("text/")]
    if has_gtube(mail.raw, bodies):
        evidence = Evidence(code="GTUBE", text="the test text for spam", score=GTUBE_SCORE)
        return Finding(status=Status.SPAM, score=GTUBE_SCORE, evidence=(evidence,), engine=_ENGINE)
    if ctx.rspamd is not None:
        return _of_rspamd(await ctx.rspamd.check(mail.raw, mail.received))
    return _of_ours(mail, ctx)


def _of_ours(mail: Mail, ctx: Context) -> Finding:
    """A rule for phishing has points of its own, unless another scanner gives them for the same sign.

    Any other rule counts for what the classifier learned of it.
    """
    model = ctx.model or open_model("")
    facts = gather(mail)
    hits = apply(facts)
    found = features(facts, (rule.code for rule in hits))
    margin, shares = model.weigh(found)
    if consistent(found):
        margin -= _CONSISTENT
    if one_place(found):
        margin -= _ONE_PLACE
    points = max(_LEAST, min(_most(shares), SPAM_FROM + _SLOPE * (margin - _CUT)))
    spam = points > 0
    confirmed = sum(rule.score for rule in hits if rule.code not in _BY_A_SERVICE) >= _SUPPORT
    alone = spam and margin < _DOUBTFUL and not confirmed
    if alone:
        spam, points = points >= SUSPICIOUS_FROM, 0.0
    sure = sum(rule.score for rule in hits if rule.phishing)
    score = round(points + sum(map(_worth, hits)), 2)
    status = by_score(score)
    if status is Status.SPAM and sure >= _PHISHING_FROM:
        status = Status.PHISHING
    evidence = [
        Evidence(code=rule.code, text=rule.text, score=_worth(rule))
        for rule in sorted(hits, key=lambda rule: (not rule.phishing, -rule.score))
    ]
    words = f"{'like spam' if spam else 'like wanted mail'} in {in_words(shares, spam=spam)}"
    learned = Evidence(
        code="LEARNED_SPAM" if spam else "LEARNED_HAM",
        text=clean(f"not counted, as no rules agree: {words}" if alone and spam else words),
        score=round(points, 2),
    )
    at = 0 if points > max(map(_worth, hits), default=0.0) else len(evidence)
    evidence.insert(at, learned)
    return Finding(status=status, score=max(0.0, score), evidence=tuple(evidence), engine=f"{_ENGINE}; {model.version}")


def _most(shares: Mapping[str, float]) -> float:
    """Return the most points that the classifier may give: a line between friends holds little that tells anything."""
    known = (sum(map(abs, shares.values())) - _THIN) / (_FULL - _THIN)
    return _THIN_MOST + (_MOST - _THIN_MOST) * max(0.0, min(1.0, known))


def _worth(rule: Rule) -> float:
    return rule.score if rule.phishing and not rule.elsewhere else 0.0


def _of_rspamd(reply: ContentReply) -> Finding:
    """rspamd's opinion of the content: what it says of SPF, DKIM, DMARC and ARC is the auth scanner's to count.

    "reject" stays spam. Greylisting and rate limits are for a door, not for a message that was accepted; any other
    "soft reject" means that rspamd could not judge yet.
    """
    if reply.action == "soft reject":
        raise EngineUnavailable("rspamd answered soft reject: it could not judge the message yet")
    symbols = sorted(
        ((name, 0.0 if name.startswith(_AUTH) else score, text) for name, score, text in reply.symbols),
        key=lambda item: -abs(item[1]),
    )[:_SYMBOLS]
    score = round(reply.score - sum(score for name, score, _ in reply.symbols if name.startswith(_AUTH)), 2)
    rejected = reply.action == "reject"
    return Finding(
        status=Status.SPAM if rejected else by_score(score),
        score=max(score, SPAM_FROM) if rejected else score,
        evidence=tuple(Evidence(code=clean(name, 40), text=text, score=score) for name, score, text in symbols),
        engine=reply.version,
    )
