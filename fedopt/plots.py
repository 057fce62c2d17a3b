"""Pictures: the round, a bar per client with its energy beside it. Needs matplotlib (extra ``plots``)."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedopt.checks import FloatArray, choice
from fedopt.disk import replace_file
from fedopt.problem import Problem
from fedopt.report import budget_text, mean_power, quantity
from fedopt.solution import Solution
from fedopt.submodels import IntArray
from fedopt.timeline import decision, holders, timeline
from solvers.lookup import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 80  # up to so many clients every bar has its client's name
_ROW = 0.145  # height of a bar [inch]
_BARS = 128  # beyond, a bar stands for the mean of several clients

# Okabe and Ito's palette, told apart by colour-blind readers too; waiting is barely there, as it costs nothing.
_COLOURS = {
    "overhead": "#999999",
    "receiving": "#009E73",
    "computing": "#0072B2",
    "sending": "#E69F00",
    "waiting": "#E9ECEF",
}
_HOLDING = "#D55E00"

# says who made a picture: the command line removes no other's
_MADE_BY = {"png": {"Software": "fedopt"}, "svg": {"Creator": "fedopt", "Date": None}}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """What is drawn: one row per bar, top to bottom. ``times`` [s] and ``energies`` [J] by part, (M,) each.

    ``types`` (M,) is the type index of each bar, ``labels`` its names, ``holding`` (M,) marks the clients that hold the
    round up, ``each`` is the greatest number of clients behind a bar.
    """

    times: dict[str, FloatArray]
    energies: dict[str, FloatArray]
    types: IntArray
    labels: tuple[str, ...]
    holding: NDArray[np.bool_]
    each: int


def bars(problem: Problem, solution: Solution) -> Bars:
    """The clients grouped by type, the longest at work first; neighbours are averaged where there are too many.

    Raises ValueError for an infeasible solution.
    """
    allocation, assignment = decision(problem, solution)
    parts, clients = timeline(problem, solution), problem.clients
    times = {"overhead": parts.overhead, "receiving": parts.downloading, "computing": parts.computing}
    times |= {"sending": parts.sending, "waiting": parts.waiting}
    sending = parts.sending * (allocation.power + clients.circuit_power)
    receiving = parts.downloading * clients.receive_power
    computing = np.maximum(allocation.energy - sending - receiving, 0.0)
    energies = {"receiving": receiving, "computing": computing, "sending": sending}
    waiting = np.round(parts.waiting / max(solution.duration, 1e-300), 6)  # who uses the whole round, rounding aside
    order = np.lexsort((-parts.computing, waiting, assignment))
    each = -(-len(clients) // _BARS)
    starts = [first for k in np.unique(assignment) for first in _starts(np.flatnonzero(assignment[order] == k), each)]
    sizes = np.diff([*starts, len(clients)])

    def mean(values: FloatArray) -> FloatArray:
        result: FloatArray = np.add.reduceat(values[order], starts) / sizes
        return result

    return Bars(
        times={part: mean(values) for part, values in times.items() if values.max() > 1e-6 * solution.duration},
        energies={part: mean(values) for part, values in energies.items() if values.any()},
        types=assignment[order][starts],
        labels=tuple(_label(problem, int(n)) for n in order[starts]),
        holding=np.isin(order[starts], holders(problem, solution)),
        each=each,
    )


def draw_round(problem: Problem, solution: Solution) -> Figure:
    """The picture of the round: how every client spends it, and what that costs.

    Raises ValueError for an infeasible solution, MissingExtra without matplotlib.
    """
    figure_class = figure_type()
    content = bars(problem, solution)
    count = len(content.labels)
    figure: Figure = figure_class(
        figsize=(11.0, 2.2 + _ROW * max(count, 8) * (1.0 if count <= _NAMED else 0.6)), layout="constrained"
    )
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    y = np.arange(count, dtype=np.float64)
    _stack(left, y, content.times)
    _stack(right, y, content.energies)
    _frame(left, right, problem, content, solution.duration)
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    title = f"{len(problem.clients)} clients, a round of {quantity(solution.duration, 's', 4)}"
    cost = f"{quantity(solution.energy, 'J', 4)}, {quantity(mean_power(solution), 'W', 3)} on average"
    figure.suptitle(f"{title}: {cost} (budget: {budget_text(problem.budget)})", fontsize=13)
    return figure


def save(figure: Figure, path: str | PathLike[str]) -> Path:
    """Write a figure as PNG or SVG, by the path's suffix; the old file stays until the new one is whole.

    Raises InputError for another suffix, OSError where the file cannot be written.
    """
    form = choice("picture's suffix", Path(path).suffix.lower(), (".png", ".svg"))[1:]
    from matplotlib import rc_context

    picture = io.BytesIO()
    hashed = rc_context({"svg.hashsalt": "fedopt"})  # without it and with a date, no two files of one picture are alike
    with hashed, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of a name in letters that no font has: boxes
        figure.savefig(picture, format=form, dpi=150, metadata=_MADE_BY[form])
    return replace_file(path, picture.getvalue())


def _starts(members: NDArray[np.intp], each: int) -> list[int]:
    """First positions of the runs of at most ``each`` clients of one type."""
    return [int(first) for first in members[::each]]


def _label(problem: Problem, client: int) -> str:
    name = problem.clients.name
    return shortened(str(client) if name is None else name[client])


def shortened(text: str) -> str:
    """A name short enough for a picture; matplotlib would read a dollar sign as mathematics."""
    return (text if len(text) <= 38 else f"{text[:37]}…").replace("$", r"\$")


def _remark(content: Bars, named: bool) -> str:
    if content.each > 1:
        return f"; a bar is the mean of up to {content.each} clients"
    return "; the clients in red hold the round up" if named and content.holding.any() else ""


def _stack(axes: Axes, y: FloatArray, parts: dict[str, FloatArray]) -> None:
    start = np.zeros_like(y)
    for part, values in parts.items():
        axes.barh(y, values, left=start, height=0.82, color=_COLOURS[part], label=part, linewidth=0)
        start = start + values


def _frame(left: Axes, right: Axes, problem: Problem, content: Bars, duration: float) -> None:
    """Axes, names, the end of the round, and a line between the types."""
    count = len(content.labels)
    named = count <= _NAMED and content.each == 1
    left.set_ylim(count - 0.4, -0.6)
    left.set_xlim(0.0, duration * 1.005 if duration > 0.0 else 1.0)
    left.set_xlabel("time in the round [s]" + _remark(content, named))
    right.set_xlabel("energy [J]")
    right.margins(x=0.02)
    left.axvline(duration, color="black", linewidth=1.0)
    left.set_yticks(range(count) if named else [], content.labels if named else [], fontsize=9 if count <= 40 else 7)
    for text, holds in zip(left.get_yticklabels(), content.holding, strict=False):
        text.set(color=_HOLDING if holds else "black", weight="bold" if holds else "normal")
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    right.xaxis.grid(True, color="#DDDDDD", linewidth=0.6)
    right.set_axisbelow(True)
    for k in np.unique(content.types):
        rows = np.flatnonzero(content.types == k)
        right.annotate(
            shortened(problem.submodels[int(k)].name),
            (1.02, float(rows.mean())),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=13,
            fontweight="bold",
        )
        if rows[0] > 0:
            for axes in (left, right):
                axes.axhline(rows[0] - 0.5, color="black", linewidth=0.8)


def figure_type() -> type[Figure]:
    """matplotlib's Figure. Raises MissingExtra where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra(f"a picture needs {error.name}: pip install 'fedopt[plots]'", name=error.name) from error
    return Figure
