"""Charts as SVG that stands in the page itself: drawn by pygal, without its scripts, styles and tooltips.

What is left has classes alone, and console.css colours it: so the policy against inline styles stays, dark mode is the
page's own, and a chart costs some kilobytes. It says what it is (`role=img`); the figures stand in a table beside it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import pygal
from markupsafe import Markup
from pygal.etree import etree

# It hangs a finder of its own into every import of the process, for maps that we don't draw.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != pygal.__name__]

WIDTH: Final = 860  # of the drawing's own units: the page scales it
HEIGHT: Final = 260
FEW: Final = 6  # numbers along an axis: each is written
LABELS_MOST: Final = 8  # along the bottom: more would lie on each other

_NUMBER: Final = re.compile(r"-?\d+\.\d+")
_KEPT: Final = frozenset(
    {"d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "transform", "class", "viewBox"}
)
_DROPPED: Final = frozenset({"defs", "desc", "title"})
_OVERLAYS: Final = frozenset({"plot text-overlay", "plot tooltip-overlay"})
_CLASSLESS: Final = frozenset({"rect", "path", "circle"})  # within a series: the series says their colour

Series = tuple[str, Sequence[float | None]]


class _Plain:
    """A chart that doesn't compute what `_prune` would take out again: a third of the drawing."""

    def _tooltip_data(self, *_: object, **__: object) -> None: ...

    def _static_value(self, *_: object, **__: object) -> None: ...

    def _tooltip_and_print_values(self, *_: object, **__: object) -> None: ...


class StackedBar(_Plain, pygal.StackedBar): ...  # type: ignore[misc]  # pygal has no types


class Line(_Plain, pygal.Line): ...  # type: ignore[misc]  # as above


class HorizontalBar(_Plain, pygal.HorizontalBar): ...  # type: ignore[misc]  # as above


def stacked(title: str, labels: Sequence[str], series: Sequence[Series]) -> Markup:
    """Return bars over time, one series on the other."""
    tops = [sum(value or 0 for value in at) for at in zip(*(values for _, values in series), strict=True)]
    chart = StackedBar(**_config(len(labels)), y_labels=_axis(tops))
    return _drawn(chart, title, labels, series)


def lines(title: str, labels: Sequence[str], series: Sequence[Series], said: Callable[[float], str]) -> Markup:
    """Return lines over time; None is a gap. `said` writes a value of the axis."""
    config = {**_config(len(labels)), "value_formatter": said}
    chart = Line(**config, dots_size=2.5)  # one that stands alone between gaps has no line
    return _drawn(chart, title, labels, series)


def bars(title: str, values: Sequence[tuple[str, int]]) -> Markup:
    """Return a bar for each value, the first one at the top."""
    config = {**_config(0), "height": 40 + 26 * len(values)}
    chart = HorizontalBar(**config, print_values=False, y_labels=_axis([many for _, many in values]))
    return _drawn(chart, title, [name for name, _ in reversed(values)], [("", [many for _, many in reversed(values)])])


def _axis(counts: Sequence[float]) -> list[int] | None:
    """Return each number of an axis of few, which pygal would part further; None: it chooses well."""
    top = int(max(counts, default=0))
    return list(range(max(top, 1) + 1)) if counts and top <= FEW else None


def _config(labels: int) -> dict[str, Any]:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "js": [],
        "css": [],
        "no_prefix": True,
        "show_legend": False,  # the page has it, in letters that don't shrink with the drawing
        "allow_interruptions": True,
        "truncate_label": -1,
        "show_minor_x_labels": labels <= LABELS_MOST,
        "x_labels_major_every": max(1, -(-labels // LABELS_MOST)),
        "value_formatter": lambda value: f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
        "min_scale": 2,
        "max_scale": 6,
        "margin": 6,
        "range": None,
        "include_x_axis": True,
    }


def _drawn(chart: Any, title: str, labels: Sequence[str], series: Sequence[Series]) -> Markup:  # noqa: ANN401 - pygal has no types
    chart.x_labels = labels
    for name, values in series:
        chart.add(name, list(values))
    root = chart.render_tree()
    _trim(root)
    _prune(root, in_series=False)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", title)
    root.set("focusable", "false")
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704  # made of elements, whose texts are escaped


def _prune(node: Any, *, in_series: bool) -> None:  # noqa: ANN401 - an element of either library that pygal takes
    for child in list(node):
        classes = str(child.get("class", "")) if isinstance(child.tag, str) else ""
        if not isinstance(child.tag, str) or child.tag in _DROPPED or classes in _OVERLAYS or _empty(child):
            node.remove(child)
            continue
        _trim(child)
        inside = in_series or classes.startswith("series")
        if inside and child.tag in _CLASSLESS:
            del child.attrib["class"]
        _prune(child, in_series=inside)
        if child.tag == "g" and not len(child):
            node.remove(child)


def _trim(node: Any) -> None:  # noqa: ANN401 - as above
    for name, value in list(node.attrib.items()):
        if name not in _KEPT:
            del node.attrib[name]
        elif name != "class":
            node.set(name, _NUMBER.sub(_shorter, str(value)))


def _empty(child: Any) -> bool:  # noqa: ANN401 - as above
    if child.tag != "rect":
        return False
    return any(float(child.get(side, "1")) <= 0 for side in ("width", "height"))


def _shorter(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")
