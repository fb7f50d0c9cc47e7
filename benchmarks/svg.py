"""Two kinds of drawing as SVG text: lines over logarithmic axes, and bars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .table import number

WIDTH = 840
LINES_HEIGHT = 440
LEFT, TOP, RIGHT, BOTTOM = 64, 64, 250, 56
"""Margins; the right one holds the legend, the left one of bars its own."""
BARS_LEFT, BARS_RIGHT, BAR = 150, 70, 24
INK, FAINT, GRID = "#24292f", "#6e7781", "#e3e6ea"


@dataclass(frozen=True)
class Style:
    color: str
    width: float = 1.5
    dash: str = ""


@dataclass(frozen=True)
class Series:
    """What one system costs, by size."""

    label: str
    points: tuple[tuple[float, float], ...]
    style: Style

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True)
class Axis:
    """A logarithmic scale between two positions on the page."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        span = math.log(self.high / self.low)
        share = math.log(value / self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """1, 2 and 5 of each decade; only 1 if there are many."""
        steps = (1, 2, 5) if self.high / self.low <= 1000 else (1,)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        marks = [step * 10.0**decade for decade in decades for step in steps]
        return [mark for mark in marks if self.low <= mark * 1.000001 and mark <= self.high * 1.000001]


def lines(title: str, subtitle: str, x_label: str, series: Sequence[Series]) -> str:
    """Cost against size, both logarithmic; the legend has the figure each line ends with, dearest first."""
    xs = sorted({x for one in series for x, _ in one.points})
    ys = [y for one in series for _, y in one.points]
    across = Axis(xs[0], xs[-1], LEFT + 12, WIDTH - RIGHT - 12)
    up = Axis(_below(min(ys)), _above(max(ys)), LINES_HEIGHT - BOTTOM, TOP)
    ordered = sorted(series, key=lambda one: -one.last)
    body = [*_y_grid(up), *_x_grid(across, xs, x_label)]
    body += [part for one in reversed(ordered) for part in _line(one, across, up)]
    body += [part for row, one in enumerate(ordered) for part in _legend(one, row, len(ordered))]
    return _page(LINES_HEIGHT, title, subtitle, body)


def bars(title: str, subtitle: str, series: Sequence[Series]) -> str:
    """A bar each, from nothing: where there is only one size."""
    ordered = sorted(series, key=lambda one: -one.last)
    longest = WIDTH - BARS_LEFT - BARS_RIGHT
    body = []
    for row, one in enumerate(ordered):
        top = TOP + row * BAR
        length = one.last / ordered[0].last * longest
        middle = top + BAR / 2 + 1
        body.append(_text(BARS_LEFT - 8, middle, one.label, anchor="end"))
        body.append(
            f'<rect x="{BARS_LEFT}" y="{top + 3}" width="{length:.1f}" height="{BAR - 6}" fill="{one.style.color}"/>'
        )
        body.append(_text(BARS_LEFT + length + 6, middle, number(one.last)))
    return _page(TOP + len(ordered) * BAR + 16, title, subtitle, body)


def _below(value: float) -> float:
    """The next of 1, 2, 5, 10 ... downwards."""
    decade = 10.0 ** math.floor(math.log10(value))
    return max(step * decade for step in (1, 2, 5) if step * decade <= value * 1.000001)


def _above(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    return min(step * decade for step in (1, 2, 5, 10) if step * decade >= value * 0.999999)


def _y_grid(up: Axis) -> Iterator[str]:
    for mark in up.ticks():
        y = up.at(mark)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
        yield _text(LEFT - 8, y, f"{mark:,g}", anchor="end", color=FAINT)


def _x_grid(across: Axis, sizes: Sequence[float], label: str) -> Iterator[str]:
    bottom = LINES_HEIGHT - BOTTOM
    for size in sizes:
        x = across.at(size)
        yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{GRID}"/>'
        yield _text(x, bottom + 16, f"{size:,g}", anchor="middle", color=FAINT)
    yield _text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, label, anchor="middle", color=FAINT)


def _line(one: Series, across: Axis, up: Axis) -> Iterator[str]:
    places = [(across.at(x), up.at(y)) for x, y in one.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path d="M{path}" fill="none" {_stroke(one.style)}/>'
    for x, y in places:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{one.style.width + 1}" fill="{one.style.color}"/>'


def _legend(one: Series, row: int, rows: int) -> Iterator[str]:
    height = min(22.0, (LINES_HEIGHT - TOP - BOTTOM) / rows)
    left, y = WIDTH - RIGHT + 14, TOP + (row + 0.5) * height
    yield f'<path d="M{left} {y:.1f}h28" {_stroke(one.style)}/>'
    yield _text(left + 36, y, one.label)
    yield _text(WIDTH - 14, y, number(one.last), anchor="end", color=FAINT)


def _stroke(style: Style) -> str:
    dash = f' stroke-dasharray="{style.dash}"' if style.dash else ""
    return f'stroke="{style.color}" stroke-width="{style.width}" stroke-linejoin="round"{dash}'


def _text(x: float, y: float, text: str, *, anchor: str = "start", color: str = INK, more: str = "") -> str:
    # `dy`, not dominant-baseline: not every renderer knows that
    return f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="{anchor}" fill="{color}"{more}>{escape(text)}</text>'


def _page(height: float, title: str, subtitle: str, body: list[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(16, 22, title, more=' font-size="15" font-weight="600"'),
        _text(16, 43, subtitle, color=FAINT),
    ]
    return "\n".join([*head, *body, "</svg>"]) + "\n"
