"""Tables in Markdown: the median of all rounds, how far they spread, and ratios taken round by round."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence

from benchmarks.email.trial import Measured


@dataclasses.dataclass(frozen=True)
class Result:
    """The figures of one row in one round."""

    scenario: str
    row: str
    round: int
    measured: Measured


def table(title: str, results: Sequence[Result], *, baseline: str) -> str:
    """Return one scenario's table; with a `baseline`, its last column is the first figure over that row's."""
    rows = list(dict.fromkeys(result.row for result in results))
    columns = list(dict.fromkeys(name for result in results for name in result.measured))
    headings = ["", *columns, "ratio"] if baseline else ["", *columns]
    lines = [f"### {title}", "", f"| {' | '.join(headings)} |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    for row in rows:
        own = [result for result in results if result.row == row]
        cells = [_spread([result.measured.get(name) for result in own]) for name in columns]
        if baseline:
            cells.append(_ratio(own, [result for result in results if result.row == baseline], columns[0]))
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(figures: Iterable[float | None]) -> str:
    known = sorted(figure for figure in figures if figure is not None)
    if not known:
        return "-"
    low, middle, high = _short(known[0]), _short(statistics.median(known)), _short(known[-1])
    return middle if low == high else f"{middle} ({low}..{high})"


def _ratio(own: Sequence[Result], base: Sequence[Result], column: str) -> str:
    """The median of the ratios within each round: what both saw of the machine's other load cancels out."""
    by_round = {result.round: result.measured.get(column) for result in base}
    pairs = [(result.measured.get(column), by_round.get(result.round)) for result in own]
    ratios = [mine / theirs for mine, theirs in pairs if mine is not None and theirs]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def _short(figure: float) -> str:
    if figure == int(figure) or figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
