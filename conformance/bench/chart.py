"""A bar chart of a comparison as plain SVG: a group a workload, a bar a server, its length relative to the fastest.

It has no background of its own, and its text follows the reader's colour scheme where the viewer tells it.
"""

from typing import Final
from xml.sax.saxutils import escape

from conformance.bench.figures import summarise
from conformance.bench.report import NULL
from conformance.bench.runner import Rounds

_COLOURS: Final = ("#2563eb", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#64748b")
_LEFT: Final = 130
_BARS_WIDTH: Final = 470
_WIDTH: Final = 720
_BAR_HEIGHT: Final = 16
_GROUP_GAP: Final = 14
_TOP: Final = 52
_STYLE: Final = "<style>text{fill:#334155}@media(prefers-color-scheme:dark){text{fill:#cbd5e1}}</style>"


def draw(measured: Rounds, title: str) -> str:
    """The SVG text. In each group the longest bar is the fastest server; bars say requests a second."""
    names = [name for name in next(iter(measured.values())) if name != NULL]
    parts = [_text(_LEFT, 20, title, size=15, weight="bold")]
    for index, name in enumerate(names):
        x = _LEFT + index * 110
        parts += [_bar(x, 30, 10, 10, _colour(index)), _text(x + 15, 39, name)]
    y = _TOP
    for workload, rounds in measured.items():
        rates = [summarise(rounds[name]).operations_per_second for name in names]
        fastest = max(rates) or 1.0
        parts.append(_text(_LEFT - 8, y + len(names) * _BAR_HEIGHT / 2 + 4, workload, anchor="end"))
        for index, rate in enumerate(rates):
            width = _BARS_WIDTH * rate / fastest
            parts.append(_bar(_LEFT, y, width, _BAR_HEIGHT - 2, _colour(index)))
            parts.append(_text(_LEFT + width + 5, y + 11, f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s"))
            y += _BAR_HEIGHT
        y += _GROUP_GAP
    label = escape(title, {'"': "&quot;"})
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="{label}">\n'
        f"{_STYLE}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, size: int = 11, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
