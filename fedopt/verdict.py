"""judge(): the only evaluator of any answer, ours and the baselines', from the instance and the decision alone."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedopt.access import Access, SharedBandwidth, channel, check_access, coupling
from fedopt.checks import FloatArray, compact, decided, kind, number
from fedopt.clients import Clients
from fedopt.problem import Budget, Problem, check_budget, overspent
from fedopt.solution import Solution, Verdict
from fedopt.submodels import Workload

_BLOCK = 8192
_LN2 = float(np.log(2.0))
TOLERANCE = 1e-9  # relative, of every constraint


def judge(
    clients: Clients,
    work: Workload,
    duration: float,
    frequency: FloatArray,
    rate: FloatArray,
    budget: Budget | None = None,
    *,
    access: Access | None = None,
    bandwidth: FloatArray | None = None,
    tolerance: float = TOLERANCE,
) -> Verdict:
    """Recompute times, energy, budget and every constraint of any method's answer from the decision alone.

    Parameters
    ----------
    clients, work : the instance; work is what each client has to do.
    duration : [s] T. frequency : (N,) [Hz]. rate : (N,) [bit/s].
    budget : checked too where given.
    access : the scheme by which the clients share the uplink, None for their own channels; its constraint is checked.
    bandwidth : (N,) [Hz] decided under a SharedBandwidth; ignored otherwise.
    tolerance : relative; a constraint counts as violated beyond it.

    Returns a Verdict. NaN and infinite decisions are judged, not refused; InputError where an argument is no such
    thing at all. Formulas: section 3 of the model; t = W/f, tau = s/r, p = (2^(r/B) - 1) / gamma.
    """
    kind("clients", clients, Clients, "a Clients table")
    kind("work", work, Workload, "a Workload")
    if budget is not None:
        check_budget("budget", budget)
    check_access("access", access)
    size = len(clients)
    work = work.sized(size)
    duration = float(decided("duration", duration, 1)[0])
    f_all, r_all = decided("frequency", frequency, size), decided("rate", rate, size)
    if isinstance(access, SharedBandwidth):
        bandwidth = decided("bandwidth", bandwidth, size)
    return verdict_of(
        clients, work, duration, f_all, r_all, budget, access, bandwidth, number("tolerance", tolerance, zero=True)
    )


def verdict_of(
    clients: Clients,
    work: Workload,
    duration: float,
    frequency: FloatArray,
    rate: FloatArray,
    budget: Budget | None,
    access: Access | None,
    bandwidth: FloatArray | None,
    tolerance: float = TOLERANCE,
) -> Verdict:
    """judge(), its arguments checked: ``work``, ``frequency`` and ``rate`` of shape (N,)."""
    found = _Findings(tolerance, clients)
    size = len(clients)
    b_all = channel(access, clients.bandwidth, bandwidth, size)
    quick = _quick_look(clients, work, duration, frequency, rate, b_all, tolerance)
    if quick is not None:
        energy, found.worst = quick[0], max(quick[1], 0.0)
    else:
        energy = 0.0
        for start in range(0, size, _BLOCK):
            rows = slice(start, start + _BLOCK)
            with np.errstate(all="ignore"):
                energy += _judge_block(found, clients, work, duration, frequency[rows], rate[rows], b_all[rows], rows)
    if not (0.0 <= duration < math.inf and -math.inf < energy < math.inf):
        found.add("duration or energy is not finite", np.array([np.inf]))
    elif budget is not None:
        found.add_one(*overspent(budget, duration, energy))
    if access is not None:
        with np.errstate(all="ignore"):
            found.add_one(*coupling(access, clients, work, duration, frequency, rate, b_all))
    return Verdict(energy=energy, duration=duration, violation=found.worst, violations=tuple(found.sentences))


def _quick_look(
    c: Clients, work: Workload, duration: float, f: FloatArray, r: FloatArray, b: FloatArray, tolerance: float
) -> tuple[float, float] | None:
    """Energy [J] and greatest relative violation of clients who all compute and send and keep every constraint.

    None where one does not, or a number is not finite: then _judge_block says what is wrong.
    """
    look, frozen, each_chunk, block = _compiled()
    assert work.download_bits is not None
    if not duration > 0.0:
        return None
    n = c.numbers
    looking = partial(
        look, len(c), frozen(work.cycles), frozen(work.upload_bits), frozen(work.download_bits), frozen(b),
        frozen(f), frozen(r), n["download_rate"], n["overhead"], n["frequency_min"], n["frequency_max"], n["power_min"],
        n["power_max"], n["channel_gain"], n["noise_density"], n["capacitance"], n["static_power"], n["circuit_power"],
        n["receive_power"],
    )  # fmt: skip
    energy, latest, worst = zip(*each_chunk(looking, -(-len(c) // block)), strict=True)
    violation = max(*worst, max(latest) / duration - 1.0)
    return (sum(energy), violation) if violation <= tolerance else None


@cache
def _compiled() -> tuple[Any, Any, Any, int]:
    """What brings numba along, imported once: an import takes a microsecond each time it is met."""
    from solvers.blocks import BLOCK
    from solvers.judging import look
    from solvers.plan import frozen
    from solvers.threads import each_chunk

    return look, frozen, each_chunk, BLOCK


class _Findings:
    """Collects violations: the worst of all, and one sentence per kind (the first block that has it)."""

    def __init__(self, tolerance: float, clients: Clients) -> None:
        self.tolerance, self.clients = tolerance, clients
        self.worst = 0.0
        self.sentences: list[str] = []
        self._kinds: set[str] = set()

    def add(self, what: str, excess: FloatArray, concerned: NDArray[np.bool_] | None = None, start: int = -1) -> None:
        """``excess`` holds relative violations, <= 0 where fine; NaN counts as infinitely bad.

        concerned: which clients the constraint is about, None for all.
        """
        if concerned is not None:
            excess = np.where(concerned, excess, 0.0)
        worst = float(excess.max())
        if worst <= self.tolerance:
            self.worst = max(self.worst, worst)
            return
        excess = np.where(np.isnan(excess), np.inf, excess)
        client = int(np.argmax(excess))
        self.worst = max(self.worst, float(excess[client]))
        if what not in self._kinds:
            self._kinds.add(what)
            who = "" if start < 0 else f"client {self.clients.label(start + client)}: "
            self.sentences.append(f"{who}{what} by {excess[client]:.3g} relative")

    def add_one(self, what: str, excess: float) -> None:
        """The same for a constraint on the round as a whole."""
        if excess <= self.tolerance:
            self.worst = max(self.worst, excess)
        else:
            self.add(what, np.array([excess]))


def _judge_block(
    found: _Findings,
    clients: Clients,
    work: Workload,
    duration: float,
    f: FloatArray,
    r: FloatArray,
    bandwidth: FloatArray,
    rows: slice,
) -> float:
    """Times, energies and constraints of some clients; returns their energy [J]."""
    assert work.download_bits is not None
    c, start = clients, rows.start
    W, s, s_d = work.cycles[rows], work.upload_bits[rows], work.download_bits[rows]
    works, sends, busy = None, None, None  # everybody does both, unless
    if not (W.min() > 0.0 and s.min() > 0.0):
        works, sends = W > 0.0, s > 0.0
        busy = works | sends | (s_d > 0.0)
    t = W / f if works is None else np.where(works, W / f, 0.0)
    tau = s / r if sends is None else np.where(sends, s / r, 0.0)
    t_d = s_d / c.download_rate[rows]
    gamma = c.channel_gain[rows] / (c.noise_density[rows] * bandwidth)
    p = np.expm1(r * (_LN2 / bandwidth)) / gamma
    finish = c.overhead[rows] + t_d + t + tau
    compute = c.capacitance[rows] * W * f * f + c.static_power[rows] * t
    send = tau * (p + c.circuit_power[rows])
    if works is not None:
        compute, send = np.where(W > 0.0, compute, 0.0), np.where(s > 0.0, send, 0.0)
    energies = compute + send + c.receive_power[rows] * t_d
    energies = energies if busy is None else np.where(busy, energies, 0.0)
    late = finish / duration - 1.0 if duration > 0.0 else np.where(finish > 0.0, np.inf, 0.0)  # 0/0 is in time
    excesses = [
        ("finishes after the round's end", late, busy),
        ("computes above frequency_max", f / c.frequency_max[rows] - 1.0, works),
        ("computes below frequency_min", _below(f, c.frequency_min[rows]), works),
        ("sends above power_max", p / c.power_max[rows] - 1.0, sends),
        ("sends below power_min", _below(p, c.power_min[rows]), sends),
    ]
    for what, excess, concerned in excesses:
        found.add(what, excess, concerned, start)
    found.add("computes at no positive frequency", np.where(f > 0.0, 0.0, np.inf), works, start)
    found.add("sends at no positive rate", np.where(r > 0.0, 0.0, np.inf), sends, start)
    found.add("has no finite energy", np.where(np.isfinite(energies), 0.0, np.inf), None, start)
    return float(energies.sum())


def _below(value: FloatArray, least: FloatArray) -> FloatArray:
    """Relative shortfall of values under their least ones; none where the least is 0."""
    if compact(least).max() == 0.0:
        return np.zeros(1)
    return np.where(least > 0.0, 1.0 - value / least, 0.0)


def judge_solution(problem: Problem, solution: Solution) -> Verdict:
    """Judge a Solution: the schedule of its assignment, and the partition's counts and whole replicas."""
    assert solution.assignment is not None
    assert solution.allocation is not None
    assert solution.partition is not None
    work = problem.clients.workload(problem.submodels, solution.assignment)
    allocation = solution.allocation
    f, r, b = allocation.frequency, allocation.rate, None if solution.sharing is None else solution.sharing.bandwidth
    verdict = verdict_of(problem.clients, work, solution.duration, f, r, problem.budget, problem.access, b)
    counts = np.bincount(solution.assignment, minlength=len(problem.submodels))
    wrong = [
        f"{counts[k]} clients train {s.name!r}, the partition says {solution.partition[k]} (multiples of {s.cover})"
        for k, s in enumerate(problem.submodels)
        if counts[k] != solution.partition[k] or counts[k] % s.cover
    ]
    if not wrong:
        return verdict
    return Verdict(
        energy=verdict.energy,
        duration=verdict.duration,
        violation=float("inf"),
        violations=(*verdict.violations, *wrong),
    )
