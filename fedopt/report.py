"""What a person wants to know about a solution, as plain tables; the command line prints them, tests read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedopt.access import Access, Sharing, TimeDivision
from fedopt.answers import check_answer_of
from fedopt.checks import FloatArray, kind
from fedopt.problem import (
    Budget,
    Deadline,
    EnergyBudget,
    PowerBudget,
    Problem,
    ReplicaRate,
    ShortestRound,
    check_budget,
)
from fedopt.solution import ONE, Rule, Solution, Status
from fedopt.timeline import AT_LIMIT, decision, flat_out_clients, holders


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled table of texts: the first ``left`` columns are left-aligned, the others right; ``notes`` go below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    left: int = 1

    def text(self) -> str:
        """The table as plain text."""
        widths = [max(len(row[k]) for row in (self.columns, *self.rows)) for k in range(len(self.columns))]
        lines = [self.title] if self.title else []
        for row in (self.columns, *self.rows) if any(self.columns) else self.rows:
            sized = enumerate(zip(row, widths, strict=True))
            lines.append(
                "  ".join(cell.ljust(w) if k < self.left else cell.rjust(w) for k, (cell, w) in sized).rstrip()
            )
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One method's answer to the same problem, and how long it took [s]."""

    method: str
    solution: Solution
    seconds: float


def headline(problem: Problem, solution: Solution) -> Table:
    """The answer in a dozen lines: status, partition, duration, energy, utility and how sure they are."""
    check_answer_of(problem, solution)
    rows = [("status", _status(solution))]
    rows += [("budget", budget_text(problem.budget))]
    if solution.partition is not None and solution.verdict is not None:
        counts = zip(solution.partition, problem.submodels, strict=True)
        count = solution.partition.replicas
        trained = f"{count:g} {'replica' if count == 1 else 'replicas'} of the global model"
        rows += [
            ("partition", ", ".join(f"{n} {s.name}" for n, s in counts) + f"  ({trained})"),
            ("duration", f"{quantity(solution.duration, 's')}{_bracket(problem, solution)}"),
            ("energy", f"{quantity(solution.energy, 'J')}, {quantity(mean_power(solution), 'W')} on average"),
            ("utility", _utility(problem, solution)),
            *([("sorted", _paper(solution.paper, solution.utility))] if solution.paper is not None else []),
            ("judge", _judge(solution)),
        ]
        if problem.access is not None and solution.sharing is not None:
            rows.insert(-1, ("uplink", _uplink(problem.access, solution.sharing)))
        slack = unused(problem.budget, solution)
        if slack:
            rows.insert(3, ("slack", slack))
    return Table(title="", columns=("", ""), rows=tuple(rows), left=2)


def _uplink(access: Access, sharing: Sharing) -> str:
    """How the uplink is shared, and what more of it would save."""
    if isinstance(access, TimeDivision):
        return f"{quantity(access.hertz, 'Hz')}, one after another from {quantity(sharing.compute_end, 's')} on"
    saved = quantity(sharing.bandwidth_price * 0.01 * access.hertz, "J", 3)
    return f"{quantity(access.hertz, 'Hz')} shared; one per cent more would save {saved}"


def groups(problem: Problem, solution: Solution) -> Table:
    """Who got what: a row per type that is used. Raises ValueError for an infeasible solution."""
    allocation, assignment = decision(problem, solution)
    rows = []
    for k, submodel in enumerate(problem.submodels):
        who = np.flatnonzero(assignment == k)
        if who.size == 0:
            continue
        energy = float(allocation.energy[who].sum())
        with np.errstate(divide="ignore"):
            gain = 10.0 * np.log10(problem.clients.channel_gain[who])
        rows.append(
            (
                submodel.name,
                f"{who.size}",
                span(gain, ".0f"),
                span(problem.clients.samples[who], ".6g"),
                span(allocation.frequency[who] / 1e9, ".2f"),
                span(np.round(allocation.power[who] * 1e3, 3), ".3g"),
                span(allocation.compute_time[who], ".3g"),
                span(allocation.upload_time[who], ".3g"),
                *([] if solution.sharing is None else [span(solution.sharing.bandwidth[who] / 1e3, ".3g")]),
                f"{energy:.4g}",
                f"{energy / solution.energy:.0%}" if solution.energy > 0.0 else "-",
            )
        )
    columns: tuple[str, ...] = (
        "type",
        "clients",
        "gain [dB]",
        "samples",
        "CPU [GHz]",
        "power [mW]",
        "computing [s]",
        "sending [s]",
    )
    columns += (() if solution.sharing is None else ("bandwidth [kHz]",)) + ("energy [J]", "of all")
    return Table(
        title="Who got what (least..greatest of the group; energy of all together)", columns=columns, rows=tuple(rows)
    )


def holding(problem: Problem, solution: Solution) -> Table:
    """Which clients hold the round up: those flat out at T_min, otherwise those whose time is dearest.

    A client's price lambda [W] is what one more second of round would save it [J]. Raises ValueError where infeasible.
    """
    allocation, assignment = decision(problem, solution)
    flat_out, total = flat_out_clients(problem, solution), float(allocation.price.sum())
    rows = []
    for n in holders(problem, solution):
        price = float(allocation.price[n])
        rows.append(
            (
                problem.clients.label(int(n)),
                problem.submodels[int(assignment[n])].name,
                f"{price:.3g}",
                f"{price / total:.0%}" if total > 0.0 else "-",
                _of(allocation.frequency[n] / 1e9, problem.clients.frequency_max[n] / 1e9, ".2f"),
                _of(allocation.power[n] * 1e3, problem.clients.power_max[n] * 1e3, ".3g"),
                f"{allocation.compute_time[n]:.3g}",
                f"{allocation.upload_time[n]:.3g}",
            )
        )
    why = "everybody else could go faster" if flat_out.size else "their time is dearest"
    columns = ("client", "type", "price [W]", "of all", "CPU [GHz]", "power [mW]", "computing [s]", "sending [s]")
    notes = [f"One more second of round would save the fleet {total:.3g} J."] if total > 0.0 else []
    if flat_out.size:
        notes.insert(
            0, f"{_clients(flat_out.size)} at full CPU and transmit power to the last moment: no shorter round."
        )
    return Table(title=f"Who holds the round up ({why})", columns=columns, rows=tuple(rows), notes=tuple(notes))


def comparison(entries: Sequence[Entry]) -> Table:
    """The methods side by side; the ratio is of the utility (a rate) or of what it measures, to the best of all."""
    best = max((e.solution.utility for e in entries if e.solution.partition is not None), default=float("nan"))
    rows = []
    for entry in entries:
        s = entry.solution
        if s.partition is None:
            rows.append((entry.method, s.status.name.lower(), "-", "-", "-", "-", f"{entry.seconds:.2f}"))
            continue
        counts = "/".join(str(n) for n in s.partition)
        share = _share(s.utility, best) or "-"
        rows.append(
            (
                entry.method,
                counts,
                f"{s.duration:.4g}",
                f"{s.energy:.4g}",
                f"{s.utility:.4g}",
                share,
                f"{entry.seconds:.2f}",
            )
        )
    columns = ("matching", "partition", "duration [s]", "energy [J]", "utility", "of best", "took [s]")
    return Table(title="The methods compared", columns=columns, rows=tuple(rows))


def budget_text(budget: Budget) -> str:
    """The budget in words."""
    match budget:
        case EnergyBudget(joules=joules):
            return f"{quantity(joules, 'J')} a round"
        case PowerBudget(watts=watts):
            return f"{quantity(watts, 'W')} on average"
        case Deadline(seconds=seconds):
            return f"deadline {quantity(seconds, 's')}"
        case other:
            return f"a second costs {quantity(other.watts, 'J')}"


def mean_power(solution: Solution) -> float:
    """Energy over duration [W]; 0 for a round in which nobody does anything, NaN without a decision."""
    kind("solution", solution, Solution, "a Solution")
    return 0.0 if solution.duration == 0.0 else solution.energy / solution.duration


def unused(budget: Budget, solution: Solution) -> str:
    """What is left of the budget, in words; empty where next to nothing is, and without a decision."""
    check_budget("budget", budget)
    spent = {PowerBudget: mean_power(solution), EnergyBudget: solution.energy}.get(type(budget), math.nan)
    if math.isnan(spent):
        return ""
    limit, unit = (budget.joules, "J") if isinstance(budget, EnergyBudget) else (budget.watts, "W")  # type: ignore[union-attr]
    if limit == math.inf:
        return "the budget is no limit"
    left = limit - spent
    return f"{quantity(left, unit)} of the budget are not used" if left > 1e-6 * limit else ""


def quantity(value: float, unit: str, digits: int = 5) -> str:
    """A number with its unit, to ``digits`` significant digits, with a prefix where that is easier to read."""
    size = abs(value)
    if np.isfinite(size) and size > 0.0 and unit != "s":
        for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u")):
            if scale <= size < 1e3 * scale:
                return f"{value / scale:.{digits}g} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"


def span(values: FloatArray, form: str) -> str:
    """Least to greatest of some values, once where both read the same."""
    low, high = f"{values.min():{form}}", f"{values.max():{form}}"
    return low if low == high else f"{low}..{high}"


def _of(value: float, limit: float, form: str) -> str:
    if value >= limit * (1.0 - AT_LIMIT):
        return f"{value:{form}} (max)"
    return f"{value:{form}} of {limit:{form}}"


def _clients(count: int) -> str:
    return "1 client works" if count == 1 else f"{count} clients work"


def _status(solution: Solution) -> str:
    """Why it stopped; the whole reason where the table below does not say the rest."""
    short = solution.allocation is not None and solution.status is not Status.LIMIT
    return solution.status.sentence if short else solution.reason


def _utility(problem: Problem, solution: Solution) -> str:
    match problem.utility:
        case ReplicaRate(beta=1.0):
            unit = " replicas per second"
        case ShortestRound():
            unit = " s"
        case _:
            unit = ""
    text = f"{solution.utility:.6g}{unit}"
    if not np.isfinite(solution.bound):
        return text
    own = " of this partition" if solution.scope.endswith(ONE) else ""
    if solution.scope.startswith("sorted matchings"):
        return f"{text} (no sorted matching{own} above {solution.bound:.6g} exists; others may)"
    return f"{text} (none{own} above {solution.bound:.6g} exists)"


def _paper(rule: Rule, utility: float) -> str:
    """What the paper's rule would have given, beside the answer's utility."""
    found = f"{quantity(rule.duration, 's')}, {quantity(rule.energy, 'J')}, utility {rule.utility:.6g}"
    share = _share(rule.utility, utility)
    return f"the paper's rule would give {found}" + (f" ({share} of this)" if share else "")


def _share(utility: float, best: float) -> str:
    """A utility, or what it measures, relative to the best one; empty where that says nothing."""
    return f"{min(utility / best, best / utility):.1%}" if utility * best > 0.0 else ""


def _bracket(problem: Problem, solution: Solution) -> str:
    low, high = solution.bracket
    known = solution.status.solved and np.isfinite(low) and np.isfinite(high)
    if isinstance(problem.budget, Deadline) or not known:
        return ""
    scope = "of all matchings of this partition" if solution.scope.startswith("all matchings") else "for this matching"
    width = f" to within {high - low:.1g} s" if high > low else ""
    return f"  (the best {scope}, proved{width})"


def _judge(solution: Solution) -> str:
    assert solution.verdict is not None
    if solution.verdict.feasible:
        return f"every constraint holds (greatest relative violation {solution.verdict.violation:.1g})"
    return "; ".join(solution.verdict.violations)
