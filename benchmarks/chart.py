"""The chart of the README: files a second of every contender, on a logarithmic axis, as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 860, 330, 90
TOP, ROW, BOTTOM = 64, 26, 44
OURS, OTHERS, FLOOR, GRID = "#0b6e4f", "#5b6b7b", "#b0b8c0", "#e3e7eb"
STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1c2733}"
    ".small{font-size:11px;fill:#5b6b7b}.title{font-size:16px;font-weight:600}.ours{font-weight:600}"
)


def draw(results: Sequence[dict[str, Any]], title: str, note: str) -> str:
    """An SVG document with one line a result, the fastest on top.

    Raises:
        ValueError: no result to draw.
    """
    rows = sorted((result for result in results if not result["missing"]), key=lambda one: -one["files_per_second"])
    if not rows:
        message = "nothing was measured"
        raise ValueError(message)
    height = TOP + ROW * len(rows) + BOTTOM
    axis = Axis([row["files_per_second"] for row in rows])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 26, title, "title"),
        _text(16, 44, note, "small"),
        *_grid(axis, height),
        *(part for index, row in enumerate(rows) for part in _entry(row, axis, TOP + ROW * index + ROW / 2)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class Axis:
    """Files a second to x, by powers of ten."""

    def __init__(self, values: Sequence[float]) -> None:
        self.first = math.floor(math.log10(min(values)))
        self.last = math.ceil(math.log10(max(values)))

    def x(self, value: float) -> float:
        """Position of a value, in pixels."""
        share = (math.log10(value) - self.first) / max(self.last - self.first, 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _stroke(start: tuple[float, float], end: tuple[float, float], color: str, width: int = 1) -> str:
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width}" stroke-opacity="{0.35 if width > 2 else 1}"/>'


def _grid(axis: Axis, height: int) -> list[str]:
    parts = []
    for power in range(axis.first, axis.last + 1):
        x = axis.x(10**power)
        parts.append(_stroke((x, TOP), (x, height - BOTTOM + 4), GRID))
        parts.append(_text(x, height - BOTTOM + 20, f"{10**power:,}", "small", "middle"))
    return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, height - 8, "files per second", "small", "middle")]


def _entry(row: dict[str, Any], axis: Axis, y: float) -> list[str]:
    """Name, a line to the median, the spread as a broad bar across it, a dot, the number."""
    contender, value = row["contender"], row["files_per_second"]
    ours = "ours" if contender.startswith("product_") else ""
    color = OURS if ours else FLOOR if contender.startswith("floor_") else OTHERS
    x, low, high = (axis.x(one) for one in (value, row["files"] / row["slowest"], row["files"] / row["fastest"]))
    return [
        _text(LEFT - 12, y + 4, row["title"].replace("`", "").replace("*", ""), ours, "end"),
        _stroke((LEFT, y), (x, y), color, 2),
        _stroke((low, y), (high, y), color, 7),
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"/>',
        _text(max(x, high) + 12, y + 4, _number(value), ours),
    ]


def _number(value: float) -> str:
    """Three significant digits, thousands apart."""
    digits = max(0, 2 - math.floor(math.log10(value)))
    rounded = round(value, 2 - math.floor(math.log10(value)))
    return f"{rounded:,.{digits}f}"
