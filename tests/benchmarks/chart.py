"""The chart of engines, drawn from a run's own figures: SVG that is readable in light and dark.

Dots on a logarithmic scale: from a dict to a server there are three powers of ten, and a bar of
such a scale would have no honest length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from tests.benchmarks.report import Result, digits

__all__ = ["chart"]

_WIDTH: Final = 720
_LEFT: Final = 110
_RIGHT: Final = 70
_TOP: Final = 84
_LINE: Final = 40
"""Height of an engine's line."""

_DOTS: Final = ("first", "second")
"""A class of the style for each kind of call."""

_STYLE: Final = """
svg { font: 13px system-ui, sans-serif; --page: #ffffff; --text: #1f2328; --faint: #59636e;
  --line: #d1d9e0; --first: #0969da; --second: #bc4c00; }
@media (prefers-color-scheme: dark) { svg { --page: #0d1117; --text: #f0f6fc; --faint: #9198a1;
  --line: #3d444d; --first: #4493f8; --second: #f0883e; } }
.page { fill: var(--page); } text { fill: var(--text); } .faint { fill: var(--faint); }
.title { font-size: 15px; font-weight: 600; } .end { text-anchor: end; }
.middle { text-anchor: middle; } line { stroke: var(--line); }
.first { fill: var(--first); } .second { fill: var(--second); }
"""


def chart(results: Sequence[Result]) -> str:
    """Return the chart of those results that have a mark and a number, as SVG."""
    found: dict[str, dict[str, float]] = {}
    for each in results:
        if each.row.mark is not None and each.ours is not None:
            found.setdefault(each.row.mark.engine, {})[each.row.mark.what] = each.ours.best
    kinds = [*dict.fromkeys(kind for numbers in found.values() for kind in numbers)]
    height = _TOP + _LINE * len(found) + 36
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{' and '.join(kinds)} over engines, microseconds per call</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{_WIDTH}" height="{height}" rx="6"/>',
            *_drawn(found, kinds, height),
            "</svg>\n",
        ]
    )


def _drawn(found: dict[str, dict[str, float]], kinds: list[str], height: int) -> Iterator[str]:
    scale = _Scale([number for numbers in found.values() for number in numbers.values()])
    yield _text(16, 28, "Time per call, by engine", "title")
    for place, (kind, dot) in enumerate(zip(kinds, _DOTS, strict=False)):
        yield f'<circle class="{dot}" cx="{22 + 110 * place}" cy="48" r="5"/>'
        yield _text(32 + 110 * place, 52, kind)
    yield _text(_WIDTH - 16, 52, "best round, logarithmic scale", "faint end")
    for power in scale.powers:
        x = scale.x(10.0**power)
        yield f'<line x1="{x}" x2="{x}" y1="{_TOP - 12}" y2="{height - 34}"/>'
        yield _text(x, height - 14, _time(10.0**power), "faint middle")
    for place, (engine, numbers) in enumerate(found.items()):
        middle = _TOP + _LINE * place + _LINE // 2
        yield _text(_LEFT - 16, middle + 4, engine, "end")
        for kind, number in numbers.items():
            above = kind == kinds[0]
            x, y = scale.x(number), middle - 8 if above else middle + 8
            yield f'<circle class="{_DOTS[not above]}" cx="{x}" cy="{y}" r="5"/>'
            yield _text(x + 10, y + 4, _time(number))


class _Scale:
    """Whole powers of ten around all numbers, from left to right."""

    def __init__(self, numbers: list[float]) -> None:
        self._low = math.floor(math.log10(min(numbers, default=1)))
        self._high = max(math.ceil(math.log10(max(numbers, default=1))), self._low + 1)
        self.powers = range(self._low, self._high + 1)

    def x(self, number: float) -> float:
        share = (math.log10(number) - self._low) / (self._high - self._low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _time(microseconds: float) -> str:
    if microseconds >= 1_000:
        return f"{digits(microseconds / 1_000)} ms"
    return f"{digits(microseconds)} µs"


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" class="{style}">{escape(text)}</text>'
