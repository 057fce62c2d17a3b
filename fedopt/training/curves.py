"""Pictures of training: accuracy against rounds, seconds or joules, and what one run gains over another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fedopt.checks import InputError, choice
from fedopt.plots import figure_type, shortened
from fedopt.training.history import History
from fedopt.training.summary import TARGETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = ("round", "seconds", "joules")

# Okabe and Ito's palette, told apart by colour-blind readers too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_UNITS = {
    "round": ((1.0, "rounds"),),
    "seconds": ((1.0, "time of the fleet [s]"), (60.0, "time of the fleet [min]"), (3600.0, "time of the fleet [h]")),
    "joules": ((1.0, "energy of the fleet [J]"), (1e3, "energy of the fleet [kJ]"), (1e6, "energy of the fleet [MJ]")),
}
_WORDS = {
    "round": ("fewer rounds", "more rounds"),
    "seconds": ("sooner", "later"),
    "joules": ("less energy", "more energy"),
}


def draw_curves(
    runs: Mapping[str, History],
    *,
    against: str = "seconds",
    baselines: Mapping[str, str] | None = None,
    targets: Sequence[float] = TARGETS,
    title: str = "",
) -> Figure:
    """Accuracy against "round", "seconds" or "joules": a line per run, the targets marked.

    Parameters
    ----------
    runs : histories by the name to show. baselines : {run: the run it is compared with}; an arrow at the greatest
        target that both reach says how many times sooner, or for how many times less, the run is there.
    targets : accuracies.

    Raises InputError without a run to draw, MissingExtra without matplotlib.
    """
    figure: Figure = figure_type()(figsize=(9.0, 5.4), layout="constrained")
    draw_on(figure.subplots(), runs, against=against, baselines=baselines, targets=targets, title=title)
    return figure


def draw_on(
    axes: Axes,
    runs: Mapping[str, History],
    *,
    against: str,
    baselines: Mapping[str, str] | None = None,
    targets: Sequence[float] = TARGETS,
    title: str = "",
) -> None:
    """The picture of draw_curves() on axes of the caller's."""
    choice("against", against, AXES)
    baselines = baselines or {}
    for run in [*baselines, *baselines.values()]:
        choice("baselines", run, tuple(runs))
    lines = {name: _line(history, against) for name, history in runs.items()}
    drawn = [x for xs, _ in lines.values() for x in xs]
    if not drawn:
        raise InputError("draw_curves", f"a run with an accuracy at known {against}", "none")
    scale, label = next((unit for unit in reversed(_UNITS[against]) if max(drawn) >= 2.0 * unit[0]), _UNITS[against][0])
    colours = _colours(runs, baselines)
    for name, (xs, ys) in lines.items():
        dashed = name in baselines.values()
        axes.plot(
            [x / scale for x in xs], ys, color=colours[name], linestyle="--" if dashed else "-", label=shortened(name)
        )
    low = min(targets, default=0.9) - 0.15
    best = max(y for _, ys in lines.values() for y in ys)
    axes.set(
        xlim=(0.0, max(drawn) / scale * 1.02 or 1.0), ylim=(max(0.0, min(low, best - 0.1)), min(1.005, best + 0.05))
    )
    axes.set(xlabel=label, ylabel="test accuracy", title=title)
    for target in targets:
        axes.axhline(target, color="#999999", linewidth=0.8, linestyle=":", zorder=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    arrows = [(run, base, _shared_target(runs[run], runs[base], targets)) for run, base in baselines.items()]
    for place, (run, base, reached) in enumerate(arrows):
        if reached is not None:
            _gain(axes, run, (runs[run], runs[base]), reached, against, scale, colours[run], place)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    axes.grid(True, color="#EEEEEE", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _line(history: History, against: str) -> tuple[list[float], list[float]]:
    """The evaluated rows whose abscissa is known."""
    rows = [row for row in history.rows if not math.isnan(row.accuracy) and not math.isnan(getattr(row, against))]
    return [float(getattr(row, against)) for row in rows], [row.accuracy for row in rows]


def _shared_target(run: History, baseline: History, targets: Sequence[float]) -> float | None:
    """The greatest target that both reach."""
    both = [target for target in targets if not math.isnan(run.rounds_to(target) + baseline.rounds_to(target))]
    return max(both, default=None)


def _gain(
    axes: Axes,
    name: str,
    pair: tuple[History, History],
    target: float,
    against: str,
    scale: float,
    colour: str,
    place: int,
) -> None:
    """An arrow along the target, from where the baseline reaches it to where the run does, and the ratio in words."""
    here, there = (_reached(history, against, target) / scale for history in pair)
    if not (math.isfinite(there) and math.isfinite(here) and min(here, there) > 0.0):
        return
    ratio = there / here
    words = _WORDS[against][0] if ratio >= 1.0 else _WORDS[against][1]
    height = target - 0.013 * place
    axes.plot([here, there], [target, target], "o", color=colour, markersize=5, zorder=3)
    axes.annotate(
        "", (here, height), (there, height), arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.6}
    )
    axes.annotate(
        f"{shortened(name)}: {max(ratio, 1.0 / ratio):.1f} x {words} at {target:.0%}",
        (max(here, there), height),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontsize=10,
        fontweight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0},
    )


def _reached(history: History, against: str, target: float) -> float:
    """Where a run first has the target; NaN where it does not."""
    reached = {"round": history.rounds_to, "seconds": history.seconds_to, "joules": history.joules_to}
    return reached[against](target)


def _colours(runs: Mapping[str, History], baselines: Mapping[str, str]) -> dict[str, str]:
    """A colour per run; a baseline shares that of the first run compared with it, and is dashed."""
    first = {base: run for run, base in reversed(list(baselines.items())) if base not in baselines}
    leaders = [name for name in runs if name not in first]
    colours = {name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(leaders)}
    return {name: colours[first.get(name, name)] for name in runs}
