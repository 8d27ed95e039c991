"""Line charts as SVG text, without a plotting library: what the reports of several benchmarks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 900, 560, 60
LEGEND_WIDTH, LEGEND_STEP = 150, 18
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4b94", "#d08c00", "#008b8b", "#888888", "#b0306a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """``label``, the values at both ends, and the marks ``(value, text)`` on it."""

    label: str
    low: float
    high: float
    marks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Where ``value`` lies between the ends, 0.0 to 1.0."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point; ``note`` is shown when the pointer rests on it."""

    x: float
    y: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points of one name and colour, joined in their order unless ``joined`` is False."""

    name: str
    points: tuple[Point, ...]
    joined: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A title, two axes, the height of a dashed line across, and the lines."""

    title: str
    across: Axis
    up: Axis
    level: float
    lines: Sequence[Line]


def draw(chart: Chart) -> str:
    """The chart as the text of an SVG file."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">']
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    parts.extend(_frame(chart))
    for number, line in enumerate(chart.lines):
        parts.extend(_line(chart, line, number))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _place(chart: Chart, x: float, y: float) -> tuple[float, float]:
    return (
        MARGIN + chart.across.share(x) * (WIDTH - 2 * MARGIN),
        HEIGHT - MARGIN - chart.up.share(y) * (HEIGHT - 2 * MARGIN),
    )


def _line(chart: Chart, line: Line, number: int) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    places = [_place(chart, point.x, point.y) for point in line.points]
    parts: list[str] = []
    if line.joined and len(places) > 1:
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
    parts.extend(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{escape(point.note)}</title></circle>'
        for point, (x, y) in zip(line.points, places, strict=True)
    )
    across, up = WIDTH - MARGIN - LEGEND_WIDTH, HEIGHT - MARGIN - 20 - LEGEND_STEP * number
    parts.append(f'<text x="{across}" y="{up}" fill="{colour}">{escape(line.name)}</text>')
    return parts


def _frame(chart: Chart) -> list[str]:
    bottom, middle = HEIGHT - MARGIN, f"{HEIGHT / 2:.0f}"
    level = _place(chart, chart.across.low, chart.level)[1]
    parts = [
        f'<text x="{WIDTH / 2}" y="24" text-anchor="middle" font-size="15">{escape(chart.title)}</text>',
        f'<line x1="{MARGIN}" y1="{level:.1f}" x2="{WIDTH - MARGIN}" y2="{level:.1f}" stroke="#bbb" stroke-dasharray="4"/>',
        f'<line x1="{MARGIN}" y1="{bottom}" x2="{WIDTH - MARGIN}" y2="{bottom}" stroke="black"/>',
        f'<line x1="{MARGIN}" y1="{MARGIN}" x2="{MARGIN}" y2="{bottom}" stroke="black"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 15}" text-anchor="middle">{escape(chart.across.label)}</text>',
        f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">{escape(chart.up.label)}</text>',
    ]
    for value, text in chart.across.marks:
        x, _ = _place(chart, value, chart.up.low)
        parts.append(f'<text x="{x:.0f}" y="{bottom + 18}" text-anchor="middle">{escape(text)}</text>')
    for value, text in chart.up.marks:
        _, y = _place(chart, chart.across.low, value)
        parts.append(f'<text x="{MARGIN - 8}" y="{y + 4:.0f}" text-anchor="end">{escape(text)}</text>')
    return parts
