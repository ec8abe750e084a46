"""Line and bar charts as SVG: sharp at every width, the same bytes every time."""

from __future__ import annotations

import math
from html import escape
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 330, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 32
COLOURS = ("#2563eb", "#e07b00", "#0a8f6a", "#b5179e")


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers that lie within low and high."""
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(first * step + i * step, 10) for i in range(int((high - first * step) / step + 1e-9) + 1)]


def span(values: list[float], *, zero: bool) -> tuple[float, float]:
    """Return the range an axis shows: a little more than the values', from zero for bars."""
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 1.0
    return (0.0 if zero else low - margin), high + margin


class Axes:
    """Places values on the canvas."""

    def __init__(self, chart: dict[str, Any]) -> None:
        """Fit the axes to every series, measured points included."""
        points = chart.get("points", {})
        ys = [y for series in (*chart["series"].values(), *points.values()) for y in series if y is not None]
        xs = chart["x"]
        self.bars = chart.get("kind") == "bars"
        half = (xs[1] - xs[0]) / 2 if self.bars else 0
        self.x0, self.x1 = min(xs) - half, max(xs) + half
        self.y0, self.y1 = span(ys, zero=self.bars)

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        return round(LEFT + (value - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Return the vertical place of a value."""
        return round(HEIGHT - BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (HEIGHT - TOP - BOTTOM), 1)

    def frame(self, x_label: str) -> list[str]:
        """Return grid lines and the numbers beside them."""
        parts = []
        for value in ticks(self.y0, self.y1):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5}" text-anchor="end">{value:g}</text>')
        parts += [f'<text x="{self.x(v)}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{v:g}</text>'
                  for v in ticks(self.x0, self.x1, 6)]  # fmt: skip
        label = f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end" class="label">{escape(x_label)}</text>'
        return [*parts, label]


def line(axes: Axes, xs: list[float], ys: list[float], colour: str) -> str:
    """Return one series as a line."""
    path = " ".join(f"{axes.x(x)},{axes.y(y)}" for x, y in zip(xs, ys, strict=True))
    return f'<polyline points="{path}" stroke="{colour}"/>'


def bars(axes: Axes, xs: list[float], ys: list[float], colour: str) -> str:
    """Return one series as touching bars."""
    width, base = round(min(axes.x(b) - axes.x(a) for a, b in pairwise(xs)) - 1, 1), HEIGHT - BOTTOM
    places = [(round(axes.x(x) - width / 2, 1), axes.y(y)) for x, y in zip(xs, ys, strict=True)]
    size = f'width="{width}" fill="{colour}"'
    return "".join(f'<rect x="{x}" y="{y}" height="{round(base - y, 1)}" {size}/>' for x, y in places)


def dots(axes: Axes, xs: list[float], ys: list[float | None], colour: str) -> str:
    """Return measured points; a missing one (None) is left out."""
    return "".join(f'<circle cx="{axes.x(x)}" cy="{axes.y(y)}" r="3.5" fill="{colour}"/>'
                   for x, y in zip(xs, ys, strict=True) if y is not None)  # fmt: skip


def svg(chart: dict[str, Any]) -> str:
    """Return a figure: title, unit, legend and the drawing of {x, series, points?, kind?, xLabel}."""
    axes, points = Axes(chart), chart.get("points", {})
    draw = bars if axes.bars else line
    colours = dict(zip([*chart["series"], *points], COLOURS * 4, strict=False))
    parts = axes.frame(chart["xLabel"])
    parts += [draw(axes, chart["x"], ys, colours[name]) for name, ys in chart["series"].items()]
    parts += [dots(axes, chart["x"], ys, colours[name]) for name, ys in points.items()]
    keys = "".join(f'<span style="--key:{colour}">{escape(name)}</span>' for name, colour in colours.items())
    legend = f'<span class="keys">{keys}</span>' if len(colours) > 1 else ""
    title = escape(chart["title"])
    caption = f"<figcaption><b>{title} <small>{escape(chart['unit'])}</small></b>{legend}</figcaption>"
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
    return f'<figure class="chart">{caption}{drawing}</figure>'
