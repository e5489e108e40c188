"""gatepost.yaml: the customers of an installation in one file."""

from __future__ import annotations

from pathlib import Path

from services.core.customers import CustomerSpec, example, parse_customers
from services.runtime.customers_plan import plan
from services.runtime.yaml_tree import read_tree

__all__ = ["CustomerSpec", "example", "plan", "read_customers"]


def read_customers(path: Path) -> list[CustomerSpec]:
    """Return the customers in the file; raise ConfigError, one line that names file, line and key, for a mistake."""
    return parse_customers(read_tree(path))
