"""Signatures that are made, for a framework that reads them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def keywords_of(call: Callable[..., Any], **annotations: Any) -> inspect.Signature:  # noqa: ANN401  # any annotation
    """Return the call's signature with every parameter by keyword, and these annotations in place of its own."""
    signature = inspect.signature(call, eval_str=True)
    return signature.replace(
        parameters=[
            each.replace(annotation=annotations.get(name, each.annotation), kind=each.KEYWORD_ONLY)
            for name, each in signature.parameters.items()
        ]
    )
