"""The style of the plots: time against N on log-log axes with the fitted exponent, ratios beside must and aim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import Ratio

# Okabe and Ito's palette.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_VERDICTS = {"aim": "#009E73", "must": "#56B4E9", "missed": "#D55E00", "": "#BBBBBB"}


def figure(
    panels: int = 1, title: str = "", widths: Sequence[float] | None = None, *, rows: int = 1
) -> tuple[Any, list[Any]]:
    """A figure with panels side by side, in ``rows`` rows."""
    from matplotlib.figure import Figure

    columns = -(-panels // rows)
    made = Figure(figsize=(6.4 if columns == 1 else 5.2 * columns, 4.4 * rows + 0.2), layout="constrained")
    made.suptitle(title, fontsize=12)
    axes = list(np.atleast_1d(made.subplots(rows, columns, width_ratios=widths)).ravel())
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(True, which="major", color="#DDDDDD", linewidth=0.6)
        each.set_axisbelow(True)
    return made, axes


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Least-squares slope of ln seconds against ln N; NaN with fewer than two points."""
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    good = (x > 0.0) & (y > 0.0) & np.isfinite(y)
    if len(set(x[good])) < 2:
        return float("nan")
    return float(np.polyfit(np.log(x[good]), np.log(y[good]), 1)[0])


def growth(
    axes: Any, sizes: Sequence[float], seconds: Sequence[float], label: str, index: int, *, fit_from: float = 0.0
) -> float:
    """A line of time against N with its fitted exponent from ``fit_from`` clients on; returns the exponent."""
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    keep = np.isfinite(y)
    x, y = x[keep], y[keep]
    slope = exponent(x[x >= fit_from], y[x >= fit_from])
    named = label if slope != slope else f"{label}: $N^{{{slope:.2f}}}$"
    axes.loglog(x, y, color=COLOURS[index], marker=MARKERS[index], markersize=5, linewidth=1.2, label=named)
    return slope


def goals(axes: Any, ratios: Sequence[Ratio], labels: Sequence[str]) -> None:
    """A bar per ratio, its value under its label, with the lines it must and should reach; grey without a goal."""
    first = True
    for at, ratio in enumerate(ratios):
        if ratio.value == ratio.value:
            axes.bar(at, ratio.value, width=0.6, color=_VERDICTS[ratio.verdict])
        if ratio.must == ratio.must:
            sign = "at least" if ratio.above else "at most"
            for limit, style, name in ((ratio.must, "-", "must"), (ratio.aim, ":", "aim")):
                label = f"{name}: {sign}" if first else None
                axes.hlines(limit, at - 0.42, at + 0.42, color="#000000", linewidth=1.6, linestyle=style, label=label)
            first = False
    axes.set_xticks(
        range(len(ratios)), [f"{label}\n{_short(r.value)}" for label, r in zip(labels, ratios, strict=True)]
    )
    axes.grid(False, axis="x")
    axes.set_xlim(-0.6, len(ratios) - 0.4)
    axes.margins(y=0.1)
    if not first:
        legend(axes)


def _short(value: float) -> str:
    """Three digits."""
    if value != value:
        return "no number"
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"


def legend(axes: Any, columns: int = 2) -> None:
    """A legend above the axes, where it hides nothing."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False, fontsize=9, borderaxespad=0.2
    )
