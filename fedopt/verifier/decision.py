"""Is the round possible as decided, and are the answer's numbers those of its decision? Section 3, recomputed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedopt.access import Access, SharedBandwidth, Sharing
from fedopt.checks import FloatArray
from fedopt.clients import Clients
from fedopt.problem import Budget, Deadline, EnergyBudget, PowerBudget, TimePrice
from fedopt.solution import Allocation, Schedule, Solution, Status
from fedopt.submodels import Workload
from fedopt.verifier.model import LN2, SAME, Tasks, energies, sum_of, tasks_for
from fedopt.verifier.report import About, Check, Outcome, judged, worst

CLIENT = "client"
_DIGITS = 2.0**-47  # relative: what the last digits of the end of computing hide of it
KNOWN = 1e-2  # relative: what is called solved leaves no more of the duration open
_SHARED = 1e-6  # the same where clients send on a shared channel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Round:
    """A decision and what it is for: the verifier's view of a schedule or a solution.

    f [Hz], x [nat], p [W], t and tau [s]: recomputed from frequency and rate alone, (N,). tolerance: relative.
    """

    clients: Clients
    work: Workload
    tasks: Tasks
    budget: Budget
    access: Access | None
    status: Status
    T: float
    E: float
    allocation: Allocation
    sharing: Sharing | None
    bracket: tuple[float, float]
    f: FloatArray
    x: FloatArray
    p: FloatArray
    t: FloatArray
    tau: FloatArray
    tolerance: float

    @property
    def cost(self) -> float:
        """Energy + price x duration at a price of time [J]."""
        return self.E + getattr(self.budget, "watts", math.nan) * self.T

    def allowed(self, T: float) -> float:
        """What a round of T seconds may spend [J]."""
        assert isinstance(self.budget, EnergyBudget | PowerBudget)
        if isinstance(self.budget, EnergyBudget):
            return self.budget.joules
        return self.budget.watts * T if self.budget.watts < math.inf else math.inf


def round_of(
    clients: Clients, work: Workload, budget: Budget, access: Access | None, answer: Schedule | Solution, limit: float
) -> Round | Check:
    """The round of an answer; or the failed check, where arrays are missing, of the wrong shape or not finite."""
    allocation, sharing, size = answer.allocation, answer.sharing, len(clients)
    assert allocation is not None
    hertz = clients.bandwidth
    if access is not None:
        hertz = np.full(size, access.hertz)
    elif sharing is not None:
        return _unfit("a share of a channel", "none on the clients' own")
    shared = isinstance(access, SharedBandwidth)
    if sharing is not None:
        spare = sharing.compute_end if shared else sharing.bandwidth_price
        if not math.isnan(spare) and spare != 0.0:  # 0 where nobody sends
            return _unfit(f"{spare:g} of what the scheme has not", "NaN")
    arrays = {name: getattr(allocation, name) for name in Allocation.__slots__}
    if access is not None:
        arrays["bandwidth"] = np.empty(0) if sharing is None else sharing.bandwidth
    for name, values in arrays.items():
        if values.shape != (size,):
            return _unfit(f"{name} of shape {values.shape}", f"shape ({size},)")
        good = np.isfinite(values) & (values >= 0.0) if name != "price" else np.isfinite(values)
        if not good.all():
            n = int(np.argmin(good))
            return _unfit(f"{CLIENT} {n}: {name} {values[n]:g}", "finite numbers that are not negative")
        if name == "feasible" and not values.all():
            return _unfit(f"{CLIENT} {int(np.argmin(values))} marked infeasible", "a decision for everybody")
    if not (math.isfinite(answer.duration) and answer.duration >= 0.0 and math.isfinite(answer.energy)):
        return _unfit(f"{answer.duration:g} s, {answer.energy:g} J", "finite duration and energy")
    if shared:
        hertz = np.where(arrays["bandwidth"] > 0.0, arrays["bandwidth"], hertz)
    tasks = tasks_for(clients, work, hertz)
    with np.errstate(all="ignore"):
        x = np.where(tasks.sends, allocation.rate * LN2 / hertz, 0.0)
        f = np.where(tasks.computes, allocation.frequency, 0.0)
        return Round(
            clients=clients, work=work, tasks=tasks, budget=budget, access=access, status=answer.status,
            T=answer.duration, E=answer.energy, allocation=allocation, sharing=sharing, bracket=answer.bracket,
            f=f, x=x,
            p=np.where(allocation.rate > 0.0, np.expm1(allocation.rate * LN2 / hertz) / tasks.gamma, 0.0),
            t=np.where(tasks.computes, work.cycles / f, 0.0),
            tau=np.where(tasks.sends, work.upload_bits / allocation.rate, 0.0),
            tolerance=limit,
        )  # fmt: skip


def _unfit(found: str, allowed: str) -> Check:
    return Check(name="shape", about=About.DECISION, outcome=Outcome.FAILED, found=found, allowed=allowed)


def decision_checks(r: Round) -> list[Check]:
    """Ranges, time, the shared channel, the budget."""
    k, c, limit = r.tasks, r.clients, r.tolerance
    with np.errstate(all="ignore"):
        over_f, under_f = r.f / c.frequency_max - 1.0, np.where(k.f_min > 0.0, 1.0 - r.f / k.f_min, 0.0)
        over_p, under_p = r.p / c.power_max - 1.0, np.where(c.power_min > 0.0, 1.0 - r.p / c.power_min, 0.0)
        stuck = (k.computes & ~(r.f > 0.0)) | (k.sends & ~(r.x > 0.0))
        end = np.where(k.busy, k.fixed_time + r.t + r.tau, 0.0)
        late = end / r.T - 1.0 if r.T > 0.0 else np.where(end > 0.0, np.inf, 0.0)
    D = About.DECISION
    checks = [
        worst("something moves", D, np.where(stuck, np.inf, 0.0), 0.0, None, CLIENT),
        worst("frequency at most", D, np.where(k.computes, over_f, 0.0), limit, ("Hz", r.f, k.f_max), CLIENT),
        worst("frequency at least", D, np.where(k.computes, under_f, 0.0), limit, ("Hz", r.f, k.f_min), CLIENT),
        worst("power at most", D, np.where(k.sends, over_p, 0.0), limit, ("W", r.p, c.power_max), CLIENT),
        worst("power at least", D, np.where(k.sends, under_p, 0.0), limit, ("W", r.p, c.power_min), CLIENT),
        worst("in time", D, late, limit, ("s", end, np.full(end.shape, r.T)), CLIENT),
    ]
    energy = sum_of(energies(k, r.f, r.x))
    checks += _channel(r)
    if isinstance(r.budget, EnergyBudget | PowerBudget):
        most = r.allowed(r.T)
        over = _relative(energy, most) if energy > most else 0.0
        checks.append(judged("budget", D, over, limit, found=f"{energy:.12g} J", why=f"at most {most:.12g} J"))
    elif isinstance(r.budget, Deadline):
        off = abs(_relative(r.T, r.budget.seconds)) if r.budget.seconds != r.T else 0.0
        checks.append(judged("deadline", D, off, SAME - 1.0, found=f"{r.T:.15g} s"))
    return checks


def _channel(r: Round) -> list[Check]:
    """What the clients share."""
    if r.access is None or r.sharing is None:
        return []
    k, limit = r.tasks, r.tolerance
    if isinstance(r.access, SharedBandwidth):
        used = sum_of(r.sharing.bandwidth)
        without = k.sends & ~(r.sharing.bandwidth > 0.0)
        over = math.inf if without.any() else _relative(used, r.access.hertz)
        return [judged("bandwidths add up", About.DECISION, over, limit, found=f"{used:.12g} Hz"), _paid(r, 0.0)]
    ready, slots = float(np.where(k.busy, k.fixed_time + r.t, 0.0).max()), sum_of(r.tau)
    over = _relative(ready + slots, r.T) if ready + slots > 0.0 else 0.0
    off = abs(_relative(r.sharing.compute_end, ready)) if ready > 0.0 else abs(r.sharing.compute_end)
    said = f"{r.sharing.compute_end:.12g} s"
    alone = np.where(k.sends, r.access.hertz, 0.0)
    with np.errstate(all="ignore"):
        part = np.where(r.sharing.bandwidth == alone, 0.0, np.abs(r.sharing.bandwidth - alone) / r.access.hertz)
        falls = np.where(k.computes, 6.0 * k.kappa * r.f**3 * (1.0 + ready / r.t), 0.0)  # of a price, per relative time
    checks = [
        worst("the whole channel to each", About.NUMBERS, part, limit, ("Hz", r.sharing.bandwidth, alone), CLIENT),
        judged("slots add up", About.DECISION, over, limit, found=f"{ready + slots:.12g} s"),
        judged("end of computing", About.NUMBERS, off, limit, found=said),
        _paid(r, _DIGITS * sum_of(falls)),
    ]
    if isinstance(r.budget, TimePrice) and k.busy.any():
        off, said = abs(_relative(r.sharing.time_price, r.budget.watts)), f"{r.sharing.time_price:.12g} W"
        checks.append(judged("price of time is the budget's", About.NUMBERS, off, limit, found=said))
    return checks


def _paid(r: Round, hidden: float) -> Check:
    """The clients' prices of time add up to the one reported, but for what is hidden [W]."""
    assert r.sharing is not None
    price, paid = r.sharing.time_price, sum_of(r.allocation.price)
    off = 0.0 if price == paid else max(abs(price - paid) - hidden, 0.0) / max(abs(price), abs(paid))
    found = f"{price:.12g} W against {paid:.12g} W"
    return judged("prices of time add up", About.NUMBERS, off, r.tolerance, found=found)


def number_checks(r: Round) -> list[Check]:
    """The answer's own powers, times and energies against those of its frequencies and rates."""
    k, limit, given = r.tasks, r.tolerance, r.allocation
    own = {
        "power": ("W", r.p),
        "compute_time": ("s", r.t),
        "upload_time": ("s", r.tau),
        "energy": ("J", energies(k, r.f, r.x)),
    }
    still = np.where(k.busy, 0.0, np.abs(given.frequency) + np.abs(given.rate))
    checks = [worst("who is idle does nothing", About.NUMBERS, still, 0.0, None, CLIENT)]
    for name, (unit, values) in own.items():
        said = getattr(given, name)
        with np.errstate(all="ignore"):
            off = np.where(said == values, 0.0, np.abs(said - values) / np.maximum(np.abs(values), 1e-300))
        checks.append(worst(name.replace("_", " "), About.NUMBERS, off, limit, (unit, said, values), CLIENT))
    total = sum_of(own["energy"][1])
    wrong = abs(_relative(r.E, total)) if total != r.E else 0.0
    checks.append(
        judged("energy of the round", About.NUMBERS, wrong, limit, found=f"{r.E:.12g} J against {total:.12g} J")
    )
    return checks


def known(r: Round, low: float) -> list[Check]:
    """What is called solved leaves little of the best duration open, from ``low`` [s] on; NaN: from this one on."""
    low, high = r.T if math.isnan(low) else low, float(r.bracket[1])
    if not r.status.solved or math.isnan(high):
        return []
    limit = _SHARED if r.access is not None and r.tasks.sends.any() else KNOWN
    open_ = 0.0 if high <= low else (high - low) / r.T if r.T > 0.0 else math.inf
    return [judged("solved: the bracket is narrow", About.CLAIMS, open_, limit, found=f"{low:.12g} to {high:.12g} s")]


def _relative(value: float, truth: float) -> float:
    """value / truth - 1; inf where the truth is 0."""
    return value / truth - 1.0 if truth != 0.0 else math.inf
