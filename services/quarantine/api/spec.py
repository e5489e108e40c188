"""`python -m services.quarantine.api.spec` writes the API's description into the docs."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from services.quarantine.api.app import Parts, make_app

PATH = Path(__file__).parents[3] / "docs" / "quarantine-openapi.json"


def spec() -> dict[str, Any]:
    """Return the OpenAPI description; what the API is made of has no part in it."""
    nothing: dict[str, Any] = {field.name: None for field in dataclasses.fields(Parts)}
    return make_app(Parts(**{**nothing, "failures": 1})).openapi()


if __name__ == "__main__":
    PATH.write_text(json.dumps(spec(), indent=1) + "\n")
    sys.exit(0)
