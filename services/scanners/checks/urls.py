"""Where a message leads: links in its text, pages, files and QR codes, judged by themselves and by lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.events import Evidence, Status
from services.scanners.auth.dmarc import author_domain
from services.scanners.contract import Context, Cost, Finding, Port, Spec
from services.scanners.engines.url_lists import ask
from services.scanners.lookalike import guarded
from services.scanners.mail import Mail
from services.scanners.text import unfolded
from services.scanners.urls import find, judge
from services.scanners.urls.files import in_files
from services.scanners.urls.find import Found
from services.scanners.urls.url import domain_of

SPEC: Final = Spec(name="urls", version="1", cost=Cost.CPU, timeout=15.0, ports=frozenset({Port.DNS, Port.URL_LISTS}))

_ENGINE: Final = "gatepost-urls 1"


async def scan(mail: Mail, ctx: Context) -> Finding:
    """Return PHISHING, SUSPICIOUS or CLEAN by what the message's URLs are, none of which is ever fetched."""
    links = judge.read(_found(mail))
    sender, _ = author_domain([unfolded(value) for value in mail.values("from")])
    about = judge.Known(
        names=guarded(ctx.briefing),
        sender=domain_of(sender) if sender else "",
        own=frozenset(domain_of(domain) for domain in ctx.briefing.domains),
    )
    evidence = judge.judge(links, about)
    listed = await ask(ctx.dns, ctx.url_lists, judge.domains(links, about))
    evidence = [*judge.by_lists(listed), *_by_feeds(links, ctx), *evidence]
    status = judge.status(evidence)
    return Finding(
        status=status if links else Status.CLEAN,
        score=round(sum(item.score for item in evidence), 2),
        evidence=tuple(evidence),
        engine=_ENGINE,
    )


def _by_feeds(links: list[judge.Link], ctx: Context) -> Iterator[Evidence]:
    if ctx.url_feeds is None:
        return
    for link in links:
        if kind := ctx.url_feeds.listed(link.url):
            what = "domain" if kind == "domain" else "address"
            text = f"a link to {link.url.shown}, a {what} that the operator's lists hold"
            yield Evidence(code="URL_FEED", text=text, score=judge.FEED)
            return


def _found(mail: Mail) -> Iterator[Found]:
    if mail.html:
        yield from find.in_page(mail.html)
    yield from find.in_text(mail.text)
    yield from in_files(mail)
