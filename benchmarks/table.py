"""Figures and tables in Markdown that also reads well in a terminal."""

from __future__ import annotations

from .results import Result

WORDS = {"unsupported": "-", "absent": "absent", "too slow": "too slow"}
"""What stands for a figure that is missing for a reason; anything else has failed."""


def cell(result: Result) -> str:
    return number(result.median) if result.status == "ok" else WORDS.get(result.status, "failed")


def number(figure: float | None) -> str:
    """Three digits that count: 0.291, 13.3, 5,933."""
    if figure is None:
        return ""
    size = abs(figure)
    return f"{figure:,.0f}" if size >= 100 else f"{figure:.1f}" if size >= 10 else f"{figure:.2f}"


def grid(rows: list[list[str]]) -> str:
    """The first row is the heading.  Text left, figures right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    heading, *body = rows
    right = [all(_is_figure(row[index]) for row in body) for index in range(len(widths))]

    def line(row: list[str]) -> str:
        padded = (
            cell.rjust(width) if figures else cell.ljust(width)
            for cell, width, figures in zip(row, widths, right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = (("-" * (width - 1) + ":") if figures else "-" * width for width, figures in zip(widths, right, strict=True))
    return "\n".join([line(heading), f"| {' | '.join(rule)} |", *map(line, body)])


def _is_figure(text: str) -> bool:
    known = ("", "failed", *WORDS.values())
    return text in known or text.replace(",", "").rstrip("%").replace(".", "").isdigit()
