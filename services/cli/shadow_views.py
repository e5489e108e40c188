"""What a comparison of a shadow looks like: for people, and for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

from services.cli.printing import plain, stamp, table
from services.replay.decide import Difference
from services.replay.shadows import Compared, percentiles


def lines(found: Compared) -> list[str]:
    """Return the comparison for a terminal."""
    told = [f"{name}={value}" if value else name for name, value in found.settings]
    silent = "".join(f", {reason} {count}" for reason, count in found.unavailable.most_common())
    live, shadow = percentiles(found.live_ms), percentiles(found.ms)
    whole = [
        f"{found.name}: {found.scanner}" + (f" with {', '.join(told)}" if told else ""),
        f"  from {stamp(found.since)} to {stamp(found.until)} (UTC), {found.received} messages",
        *(f"  engine       {engine}" for engine in sorted(found.engines)),
        f"  saw          {found.seen} ({_share(found.seen, found.received)}); done before it looked: {found.gone}",
        f"  unavailable  shadow {found.silent_share:.1%}{silent}, live {found.live_silent_share:.1%}",
        f"  ms p50, p99  shadow {shadow[0]:.1f}, {shadow[1]:.1f}; live {live[0]:.1f}, {live[1]:.1f}",
        f"  compared     {found.compared}" + (f"; not decided yet: {found.undecided}" if found.undecided else ""),
    ]
    kinds = [(live_said, said, str(count)) for (live_said, said), count in sorted(found.kinds.items())]
    whole += [f"    {line}" for line in table(("live", "shadow", "messages"), kinds).splitlines()]
    messages = sum(found.otherwise.values())
    whole.append(f"  would be treated otherwise: {messages} messages, {found.recipients} recipients")
    for pair, count in found.otherwise.most_common():
        whole.append(f"    {pair[0]} -> {pair[1]}: {count}")
        for example in found.examples[pair]:
            whole += _example(example)
    return [plain(line) for line in whole]


def builtin(found: Compared) -> dict[str, Any]:
    """Return the comparison for JSON."""
    values = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    for side in ("ms", "live_ms"):
        values[side] = dict(zip(("p50", "p99"), percentiles(values[side]), strict=True))
    for pairs in ("kinds", "otherwise"):
        values[pairs] = [{"live": one, "shadow": two, "messages": count} for (one, two), count in values[pairs].items()]
    values["settings"] = dict(found.settings)
    values["examples"] = [dataclasses.asdict(each) for some in found.examples.values() for each in some]
    return values


def _example(difference: Difference) -> list[str]:
    return [
        f"      {difference.id}  {difference.customer}  {', '.join(difference.recipients)}",
        *(f"        {change}" for change in difference.changes),
    ]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
