"""What a message says: rspamd where there is one, a table of rules otherwise, and GTUBE always."""

from __future__ import annotations

from typing import Final

from schemas.events import Evidence, Status
from services.scanners.contract import ContentReply, Context, Cost, Finding, Port, Spec
from services.scanners.decide import SPAM_FROM, by_score
from services.scanners.facts import gather
from services.scanners.heuristics import GTUBE_SCORE, apply, has_gtube
from services.scanners.mail import Mail
from services.scanners.text import clean

SPEC: Final = Spec(name="content", version="1", cost=Cost.CPU, timeout=30.0, ports=frozenset({Port.RSPAMD}))

_ENGINE: Final = "gatepost-content 1"
_SYMBOLS: Final = 10  # of rspamd's, those that weigh most


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return SPAM, SUSPICIOUS or CLEAN by the score, with the rules that made it."""
    bodies = [part.data for part in mail.parts if part.content_type.startswith("text/")]
    if has_gtube(mail.raw, bodies):
        evidence = Evidence(code="GTUBE", text="the test text for spam", score=GTUBE_SCORE)
        return Finding(status=Status.SPAM, score=GTUBE_SCORE, evidence=(evidence,), engine=_ENGINE)
    if ctx.rspamd is not None:
        return _of_rspamd(await ctx.rspamd.check(mail.raw, mail.received))
    hits = apply(gather(mail))
    score = round(sum((rule.score for rule in hits), 0.0), 2)
    return Finding(
        status=by_score(score),
        score=score,
        evidence=tuple(
            Evidence(code=rule.code, text=rule.text, score=rule.score)
            for rule in sorted(hits, key=lambda rule: -rule.score)
        ),
        engine=_ENGINE,
    )


def _of_rspamd(reply: ContentReply) -> Finding:
    symbols = sorted(reply.symbols, key=lambda item: -abs(item[1]))[:_SYMBOLS]
    rejected = reply.action == "reject"
    return Finding(
        status=Status.SPAM if rejected else by_score(reply.score),
        score=max(reply.score, SPAM_FROM) if rejected else reply.score,
        evidence=tuple(Evidence(code=clean(name, 40), text=text, score=score) for name, score, text in symbols),
        engine=reply.version,
    )
