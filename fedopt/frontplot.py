"""The picture of the trade-off: energy against duration, baselines as points. Needs matplotlib (extra ``plots``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fedopt.checks import InputError, kind, reals
from fedopt.front import Curve, Front
from fedopt.plots import figure_type, shortened
from fedopt.problem import Budget, Deadline, EnergyBudget, PowerBudget
from fedopt.report import budget_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by colour-blind readers too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKS = "sD^vP*X"


def draw_front(*fronts: Front, points: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """Energy [J] against duration [s], both logarithmic, a line for every curve of the fronts.

    A dot is a solved point; the shaded boxes between dots are where the curve lies, proved ("exact" fronts only).
    ``points`` {label: (T [s], E [J])} are drawn beside them, such as baselines; the grey line is the first front's
    budget: what lies below it, or left of it for a deadline, meets it. Raises InputError without a front or a curve and
    for points that are none, MissingExtra without matplotlib.
    """
    for front in fronts:
        kind("draw_front", front, Front, "Front objects")
    kind("points", points, (Mapping, type(None)), "None, or labels with their (T, E)")
    marks = [_mark(label, pair) for label, pair in (points or {}).items()]
    drawn = [(front, curve) for front in fronts for curve in front.curves if curve.duration.size]
    if not drawn:
        raise InputError("draw_front", "at least one front with a curve", "none")
    figure: Figure = figure_type()(figsize=(8.5, 5.6), layout="constrained")
    axes = figure.subplots()
    for index, (front, curve) in enumerate(drawn):
        _draw_curve(axes, front, curve, _COLOURS[index % len(_COLOURS)])
    for index, (label, T, E) in enumerate(marks):
        mark = _MARKS[index % len(_MARKS)]
        axes.plot([T], [E], mark, color="black", markersize=8, label=shortened(label), zorder=4, linestyle="none")
    _frame(axes, [curve for _, curve in drawn], [(T, E) for _, T, E in marks])
    _draw_budget(axes, fronts[0].problem.budget)
    axes.legend(frameon=False, fontsize=9)
    axes.set_title(f"{len(fronts[0].problem.clients)} clients: what a shorter round costs", fontsize=12)
    return figure


def _mark(label: str, pair: Any) -> tuple[str, float, float]:
    """A point and its label, checked."""
    kind("points", label, str, "labels that are text")
    try:
        given = reals(f"points[{label!r}]", pair)
    except InputError as error:  # which speaks of clients
        raise InputError(error.field, error.expected, error.found) from None
    if given.shape != (2,):
        raise InputError(f"points[{label!r}]", "two numbers, T [s] and E [J]", f"an array of shape {given.shape}")
    return label, float(given[0]), float(given[1])


def _draw_curve(axes: Axes, front: Front, curve: Curve, colour: str) -> None:
    T, E, exact = curve.duration, curve.energy, front.matching == "exact"
    for i in range(len(T) - 1) if exact else ():
        axes.fill_between([T[i], T[i + 1]], E[i + 1], E[i], color=colour, alpha=0.15, linewidth=0)
    who = "best matching" if exact else "the paper's sorted matching"
    counts = zip(curve.partition, front.problem.submodels, strict=True)
    label = f"{who}: " + ", ".join(f"{n} {shortened(s.name)}" for n, s in counts if n)
    style = {"linestyle": "-" if exact else "--", "marker": "o" if exact else ""}
    axes.plot(T, E, color=colour, markersize=4, linewidth=1.4, label=label, **style)  # type: ignore[arg-type]


def _draw_budget(axes: Axes, budget: Budget) -> None:
    """The budget's border within the axes; a price of time has none."""
    T, E = np.array(axes.get_xlim()), np.array(axes.get_ylim())
    match budget:
        case EnergyBudget(joules=joules):
            line = (T, np.full(2, joules))
        case PowerBudget(watts=watts):
            line = (T, watts * T)
        case Deadline(seconds=seconds):
            line = (np.full(2, seconds), E)
        case _:
            return
    axes.plot(*line, color="#999999", linewidth=1.2, linestyle=":", label=f"budget: {budget_text(budget)}", zorder=1)
    axes.set(xlim=T, ylim=E)


def _frame(axes: Axes, curves: list[Curve], points: list[tuple[float, float]]) -> None:
    T = np.concatenate([*(curve.duration for curve in curves), [t for t, _ in points]])
    E = np.concatenate([*(curve.energy for curve in curves), [e for _, e in points]])
    axes.set(xscale="log", yscale="log", xlabel="duration of the round T [s]", ylabel="energy of the round E [J]")
    for values, limits, axis in ((T, axes.set_xlim, axes.xaxis), (E, axes.set_ylim, axes.yaxis)):
        used = values[np.isfinite(values) & (values > 0.0)]
        low, high = float(used.min()), float(used.max())
        room = max((high / low) ** 0.06, 1.02)
        limits(low / room, high * room)
        axis.set_major_formatter("{x:g}")
        if math.log10(high / low) < 1.0:
            ticks = _ticks(low, high)
            axis.set_ticks(ticks)
            axis.set_ticks([], minor=True)
    axes.grid(True, which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers between low and high."""
    step = 10.0 ** math.floor(math.log10((high - low) / 4.0)) if high > low else low
    step *= next(factor for factor in (1.0, 2.0, 5.0) if high - low < 9.0 * step * factor)
    return [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
