"""What a message says: rspamd where there is one, our rules and classifier otherwise, and GTUBE always."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.events import Evidence, Status
from services.scanners.contract import ContentReply, Context, Cost, Finding, Port, Spec
from services.scanners.decide import SPAM_FROM, by_score
from services.scanners.facts import gather
from services.scanners.heuristics import GTUBE_SCORE, apply, has_gtube
from services.scanners.learned.explain import in_words
from services.scanners.learned.features import consistent, features
from services.scanners.learned.model import open_model
from services.scanners.mail import Mail
from services.scanners.text import clean

SPEC: Final = Spec(name="content", version="2", cost=Cost.CPU, timeout=30.0, ports=frozenset({Port.RSPAMD, Port.MODEL}))

_ENGINE: Final = "gatepost-content 2"
_SYMBOLS: Final = 10  # of rspamd's, those that weigh most
_SLOPE: Final = 40.0  # points of score for 1 of margin
_CUT: Final = -0.2  # the margin from which the classifier alone calls a message spam
_CONSISTENT: Final = 0.6  # of margin: a sender that is who it says must do worse to be called spam
_THIN, _FULL = 1.8, 2.2  # weight of all that was known of a message: below, too little to call it spam; above, enough
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
    """A rule for phishing has points of its own; any other rule counts for what the classifier learned of it."""
    model = ctx.model or open_model("")
    facts = gather(mail)
    hits = apply(facts)
    found = features(facts, (rule.code for rule in hits))
    margin, shares = model.weigh(found)
    if consistent(found):
        margin -= _CONSISTENT
    points = max(_LEAST, min(_most(shares), SPAM_FROM + _SLOPE * (margin - _CUT)))
    sure = sum(rule.score for rule in hits if rule.phishing)
    score = round(points + sure, 2)
    status = by_score(score)
    if status is Status.SPAM and sure >= _PHISHING_FROM:
        status = Status.PHISHING
    evidence = [
        Evidence(code=rule.code, text=rule.text, score=rule.score if rule.phishing else 0.0)
        for rule in sorted(hits, key=lambda rule: (not rule.phishing, -rule.score))
    ]
    spam = points > 0
    learned = Evidence(
        code="LEARNED_SPAM" if spam else "LEARNED_HAM",
        text=clean(f"{'like spam' if spam else 'like wanted mail'} in {in_words(shares, spam=spam)}"),
        score=round(points, 2),
    )
    at = 0 if points > max((rule.score for rule in hits if rule.phishing), default=0.0) else len(evidence)
    evidence.insert(at, learned)
    return Finding(status=status, score=max(0.0, score), evidence=tuple(evidence), engine=f"{_ENGINE}; {model.version}")


def _most(shares: Mapping[str, float]) -> float:
    """Return the most points that the classifier may give: a line between friends holds little that tells anything."""
    known = (sum(map(abs, shares.values())) - _THIN) / (_FULL - _THIN)
    return _THIN_MOST + (_MOST - _THIN_MOST) * max(0.0, min(1.0, known))


def _of_rspamd(reply: ContentReply) -> Finding:
    symbols = sorted(reply.symbols, key=lambda item: -abs(item[1]))[:_SYMBOLS]
    rejected = reply.action == "reject"
    return Finding(
        status=Status.SPAM if rejected else by_score(reply.score),
        score=max(reply.score, SPAM_FROM) if rejected else reply.score,
        evidence=tuple(Evidence(code=clean(name, 40), text=text, score=score) for name, score, text in symbols),
        engine=reply.version,
    )
