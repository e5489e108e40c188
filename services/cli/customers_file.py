"""gatepost.yaml: the customers of an installation in one file."""

from __future__ import annotations

from pathlib import Path

from services.core.customers import CustomerSpec, example, parse_customers
from services.core.errors import ConfigError
from services.runtime.customers_plan import plan
from services.runtime.yaml_tree import read_tree
from services.scanners.briefing import EMPTY, Briefing, brief

__all__ = ["CustomerSpec", "example", "plan", "read_briefing", "read_customers"]


def read_customers(path: Path) -> list[CustomerSpec]:
    """Return the customers in the file; raise ConfigError, one line that names file, line and key, for a mistake."""
    return parse_customers(read_tree(path))


def read_briefing(path: Path | None, customer: str | None) -> Briefing:
    """Return what scanners are told of a customer in the file, its first by default; without a file, nothing."""
    if path is None:
        if customer:
            raise ConfigError("--customer needs --config FILE, where the customer is described")
        return EMPTY
    specs = {spec.customer.id: spec.customer for spec in read_customers(path)}
    if customer and customer not in specs:
        raise ConfigError(f"{path}: no customer is called {customer}; there are {', '.join(specs)}")
    return brief(specs[customer] if customer else next(iter(specs.values())), data_loss=True)
