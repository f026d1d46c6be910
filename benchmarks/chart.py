"""Charts as plain SVG: files a second of every contender, memory by the number of files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 860, 330, 90
TOP, ROW, BOTTOM = 64, 26, 44
OURS, OTHERS, FLOOR, GRID = "#0b6e4f", "#5b6b7b", "#b0b8c0", "#e3e7eb"
STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1c2733}"
    ".small{font-size:11px;fill:#5b6b7b}.title{font-size:16px;font-weight:600}.ours{font-weight:600}"
)


@dataclass(frozen=True)
class Bar:
    """One line of a chart: its name, a value, how far it was spread, the value as text, and a colour."""

    label: str
    value: float
    low: float
    high: float
    text: str
    color: str


def speeds(results: Sequence[dict[str, Any]]) -> list[Bar]:
    """Files a second, the fastest on top."""
    rows = sorted((result for result in results if not result["missing"]), key=lambda one: -one["files_per_second"])
    return [
        Bar(
            row["title"].replace("`", "").replace("*", ""),
            row["files_per_second"],
            row["files"] / row["slowest"],
            row["files"] / row["fastest"],
            _number(row["files_per_second"]),
            OURS if row["contender"].startswith("product_") else FLOOR if "floor_" in row["contender"] else OTHERS,
        )
        for row in rows
    ]


def peaks(results: Sequence[dict[str, Any]]) -> list[Bar]:
    """MiB at the peak by the number of files, in the order measured."""
    found = [(row, row["peak_kib"] / 1024) for row in results if "peak_kib" in row]
    return [
        Bar(
            f"{row['title']}: {row['files']:,}".replace("`", "").replace("*", ""),
            *(value, value, value),
            f"{value:,.0f}",
            OURS if row["contender"].startswith("product_") else OTHERS,
        )
        for row, value in found
    ]


def draw(bars: Sequence[Bar], title: str, note: str, unit: str, *, logarithmic: bool) -> str:
    """An SVG document with one line a bar.

    Raises:
        ValueError: no bar to draw.
    """
    if not bars:
        message = "nothing was measured"
        raise ValueError(message)
    height = TOP + ROW * len(bars) + BOTTOM
    axis = Axis([bar.value for bar in bars], logarithmic=logarithmic)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 26, title, "title"),
        _text(16, 44, note, "small"),
        *_grid(axis, height, unit),
        *(part for index, bar in enumerate(bars) for part in _entry(bar, axis, TOP + ROW * index + ROW / 2)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class Axis:
    """Values to x: from 0, or by powers of ten."""

    def __init__(self, values: Sequence[float], *, logarithmic: bool) -> None:
        self.logarithmic = logarithmic
        if logarithmic:
            self.first: float = math.floor(math.log10(min(values)))
            self.last: float = math.ceil(math.log10(max(values)))
        else:
            step = 10 ** math.floor(math.log10(max(values)))
            self.first, self.last = 0, math.ceil(max(values) / step) * step

    def marks(self) -> list[float]:
        """Values that are written on the axis."""
        if self.logarithmic:
            return [10**power for power in range(int(self.first), int(self.last) + 1)]
        step = 10 ** math.floor(math.log10(self.last))
        return [step * number for number in range(int(self.last / step) + 1)]

    def x(self, value: float) -> float:
        """Position of a value, in pixels."""
        place = math.log10(value) if self.logarithmic else value
        share = (place - self.first) / ((self.last - self.first) or 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _stroke(start: tuple[float, float], end: tuple[float, float], color: str, width: int = 1) -> str:
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width}" stroke-opacity="{0.35 if width > 2 else 1}"/>'


def _grid(axis: Axis, height: int, unit: str) -> list[str]:
    parts = []
    for mark in axis.marks():
        x = axis.x(mark)
        parts.append(_stroke((x, TOP), (x, height - BOTTOM + 4), GRID))
        parts.append(_text(x, height - BOTTOM + 20, f"{mark:,.0f}" if mark >= 1 else f"{mark:g}", "small", "middle"))
    return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, height - 8, unit, "small", "middle")]


def _entry(bar: Bar, axis: Axis, y: float) -> list[str]:
    """Name, a line to the median, the spread as a broad bar across it, a dot, the number."""
    ours = "ours" if bar.color == OURS else ""
    x, low, high = (axis.x(one) for one in (bar.value, bar.low, bar.high))
    return [
        _text(LEFT - 12, y + 4, bar.label, ours, "end"),
        _stroke((LEFT, y), (x, y), bar.color, 2),
        _stroke((low, y), (high, y), bar.color, 7),
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{bar.color}"/>',
        _text(max(x, high) + 12, y + 4, bar.text, ours),
    ]


def _number(value: float) -> str:
    """Three significant digits, thousands apart."""
    digits = max(0, 2 - math.floor(math.log10(value)))
    rounded = round(value, 2 - math.floor(math.log10(value)))
    return f"{rounded:,.{digits}f}"
