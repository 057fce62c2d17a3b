"""Pictures of training: accuracy against rounds, seconds or joules, and what one run gains over another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fedopt.checks import InputError, choice
from fedopt.plots import figure_type
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
    "round": ("fewer rounds", "more rounds", "as many rounds"),
    "seconds": ("less time", "more time", "as much time"),
    "joules": ("less energy", "more energy", "as much energy"),
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
    gains = [each for run, base in baselines.items() if (each := _gain(runs, run, base, against, targets)) is not None]
    said = {each.run: f"{each.run}: {each.words(against)}" for each in gains}
    for name, (xs, ys) in lines.items():
        style = "--" if name in baselines.values() else "-"
        text = said.get(name, name).replace("$", r"\$")
        axes.plot([x / scale for x in xs], ys, color=colours[name], linestyle=style, label=text)
    for place, each in enumerate(gains):
        _arrow(axes, each, scale, colours[each.run], 0.012 * place)
    for target in targets:
        axes.axhline(target, color="#999999", linewidth=0.8, linestyle=":", zorder=0)
    bests = [max(ys) for _, ys in lines.values() if ys]
    first, best = min(targets, default=0.9), max(bests)
    low = first - 0.15 if min(bests) >= first else 0.0  # a run still on its way is shown whole
    axes.set_xlim(0.0, max(drawn) / scale * 1.02 or 1.0)
    axes.set_ylim(max(0.0, low), min(1.005, best + 0.05))
    axes.set(xlabel=label, ylabel="test accuracy", title=title)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(frameon=False, fontsize=10, loc="upper left", bbox_to_anchor=(0.0, -0.12), labelcolor="linecolor")
    axes.grid(True, color="#EEEEEE", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


class _Gain(NamedTuple):
    """Where a run and the one it is compared with first have the greatest target that both reach."""

    run: str
    base: str
    target: float
    here: float
    there: float

    def words(self, against: str) -> str:
        """What is gained, or lost."""
        ratio, (less, more, same) = self.there / self.here, _WORDS[against]
        factor = f"{max(ratio, 1.0 / ratio):.1f}"
        how = f"{same} as" if factor == "1.0" else f"{factor} x {less if ratio > 1.0 else more} than"
        return f"{self.target:.0%} with {how} {self.base}"


def _line(history: History, against: str) -> tuple[list[float], list[float]]:
    """The evaluated rows whose abscissa is known."""
    rows = [row for row in history.rows if not math.isnan(row.accuracy) and not math.isnan(getattr(row, against))]
    return [float(getattr(row, against)) for row in rows], [row.accuracy for row in rows]


def _gain(runs: Mapping[str, History], run: str, base: str, against: str, targets: Sequence[float]) -> _Gain | None:
    """What a run gains over another; None where no target is reached by both after a first round."""
    for target in sorted(targets, reverse=True):
        here, there = (_reached(runs[name], against, target) for name in (run, base))
        if 0.0 < here < math.inf and 0.0 < there < math.inf:
            return _Gain(run, base, target, here, there)
    return None


def _arrow(axes: Axes, gain: _Gain, scale: float, colour: str, below: float) -> None:
    """From where the baseline reaches the target to where the run does, a little below so that arrows keep apart."""
    here, there, height = gain.here / scale, gain.there / scale, gain.target - below
    axes.plot([here, there], [gain.target, gain.target], "o", color=colour, markersize=5, zorder=3)
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (here, height), (there, height), arrowprops=style, zorder=3)


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
