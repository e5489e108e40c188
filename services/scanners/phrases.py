"""Phrases of unwanted mail: one regular expression a line, over lower-case text with single spaces."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

ADVANCE_FEE: Final = r"""
next of kin
million (?:united states|us) dollars
million (?:euro|pound|dollar)
transfer (?:of )?(?:the|this) (?:fund|money|sum)
foreign account
strictly confidential
late (?:president|general|husband)
security company
abacha|nigeria|sierra leone|ivory coast
modalities
bank of africa
inheritance
urgent (?:and confidential|assistance)
business proposal
beneficiary
"""

MARKETING_PROMISES: Final = r"""
risk[- ]free
money[- ]back guarantee
no obligation
work (?:from|at) home
lose (?:up to )?\d{1,3} (?:pounds|lbs)
lowest (?:mortgage )?rates?
refinanc
consolidate your (?:debt|bills)
credit card debt
financial freedom
viagra
cialis
penis
human growth hormone
act now
limited time offer
order now
once in a lifetime
double your
extra income
earn \$?\d
million e-?mail addresses
bulk e-?mail
this is not spam
online casino
adults? only
free (?:trial|sample|quote|membership)
"""

BULK_EXCUSES: Final = r"""
this (?:e-?mail|message) (?:is|was) sent in compliance
cannot be considered spam
section 301
because you (?:have )?(?:opted|signed up|requested|registered)
to be removed from (?:our|this|future|the)
removed? in the subject
reply with (?:the word )?["']?remove
opt[- ](?:in|out)\b
"""

ACCOUNT_THREAT: Final = r"""
(?:verify|confirm|validate|update) your (?:account|identity|information|password|wallet|e-?mail)
(?:has|have) been (?:suspended|limited|locked|deactivated|restricted|disabled|blocked)
will be (?:suspended|locked|deactivated|restricted|disabled|blocked|terminated)
unusual (?:sign[- ]?in|activity|login)
unauthori[sz]ed (?:access|transaction|login|activity)
(?:password|account|mailbox) (?:expires?|will expire|is about to expire|expiration)
(?:mailbox|storage) (?:is )?(?:almost )?full
within (?:24|48|72) hours
avoid (?:suspension|interruption|termination|losing)
payment (?:was )?(?:declined|failed)
"""

EXTORTION: Final = r"""
bitcoin (?:wallet|address)
btc wallet
your webcam
recorded (?:you|a video)
masturbat
your (?:device|computer) (?:was|is|has been) (?:infected|hacked)
"""


def counter(phrases: str) -> Callable[[str], int]:
    """Return a function that counts the different phrases in a text."""
    pattern = re.compile("|".join(f"(?:{line})" for line in phrases.split("\n") if line))

    def count(text: str) -> int:
        return len({found.group() for found in pattern.finditer(text)})

    return count
