"""Why there is no answer, or what one leaves open: the sentences that name clients and amounts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedopt.checks import FloatArray
from fedopt.clients import Clients
from fedopt.problem import Budget, Deadline, EnergyBudget, PowerBudget
from solvers.rows import Limits, Stop, Timing

_SAID = 1e-6  # relative: what a bracket leaves open is said from here on
_NAMED = 5  # clients named in a reason; all of them are in Schedule.clients


def is_open(duration: float, bracket: tuple[float, float]) -> bool:
    """Whether a bracket leaves more of the best duration open than goes without saying; False where there is none."""
    return bracket[1] - bracket[0] > _SAID * duration


def left_open(budget: Budget, timing: Timing) -> str:
    """A sentence on the bracket of the best duration where it is wide, as it is next to the least possible energy."""
    low, high = timing.lower, timing.upper
    if not isinstance(budget, EnergyBudget | PowerBudget) or not is_open(timing.duration, (low, high)):
        return ""
    if high < math.inf and math.inf in (getattr(budget, "joules", 0.0), getattr(budget, "watts", 0.0)):
        return f"Without a limit more power only helps: the best duration is in {low:.6g} to {high:.6g} s."
    if isinstance(budget, PowerBudget):
        return ""
    share = f"{(high - low) / timing.duration:.2g} of the duration" if high < math.inf else "how long it is"
    return (
        f"The budget is so near the least possible energy that rounding leaves {share} open: "
        f"the best one is in {low:.6g} to {high:.6g} s."
    )


def why_infeasible(clients: Clients, least: Limits, budget: Budget, stop: Stop) -> tuple[str, tuple[int, ...], float]:
    """The sentence, the clients it is about (worst first) and by how much the budget misses."""
    if stop is Stop.UNREACHABLE:
        who = np.flatnonzero(~np.isfinite(least.least_time))
        names = named(clients, who, lambda n: f"gain {clients.channel_gain[n]:g}, power_max {clients.power_max[n]:g} W")
        return f"Infeasible: no duration suffices for client {names}: the upload rate is 0.", _tuple(who), math.inf
    if isinstance(budget, Deadline):
        who = np.flatnonzero(least.least_time > budget.seconds)
        who = who[np.argsort(-least.least_time[who], kind="stable")]
        missing = least.t_min - budget.seconds
        if missing <= 0.0:
            return why_too_loud(clients, least.least_time, budget.seconds)
        names = named(clients, who, lambda n: f"needs {least.least_time[n]:.6g} s")
        text = f"Infeasible: the deadline of {budget.seconds:.6g} s is {missing:.6g} s too short; client {names}."
        return text, _tuple(who), missing
    amount = budget.joules if isinstance(budget, EnergyBudget) else 0.0
    missing = least.e_inf - amount
    who = np.argsort(-least.least_energy, kind="stable")
    who = who[least.least_energy[who] > 0.0]
    names = named(clients, who, lambda n: f"needs {least.least_energy[n]:.6g} J")
    needs = f"; at the least client {names}" if who.size else ""
    if isinstance(budget, PowerBudget):
        return f"Infeasible: a power budget of 0 W lets no client work{needs}.", _tuple(who), least.e_inf
    how = f"misses the least possible energy of {least.e_inf:.6g} J by {missing:.6g} J"
    if missing <= 0.0:
        reached = "which only an endless round reaches" if math.isinf(least.t_flat) else "or less: rounding hides which"
        how = f"is the least possible energy, {least.e_inf:.6g} J, {reached}"
    return f"Infeasible: the energy budget of {amount:.6g} J {how}{needs}.", _tuple(who), max(missing, 0.0)


def why_too_loud(
    clients: Clients, needs: FloatArray, seconds: float, where: str = ""
) -> tuple[str, tuple[int, ...], float]:
    """The same where clients without greatest power have time left to send, but so little that no power will do.

    needs : (N,) [s] for all but sending. seconds : the deadline. where : said of that deadline.
    """
    left = np.where(np.isinf(clients.power_max), seconds - needs, np.inf)
    who = np.argsort(left, kind="stable")
    who = who[left[who] < math.inf]
    names = named(clients, who, lambda n: f"has {max(left[n], 0.0):.6g} s to send")
    text = (
        f"Infeasible: no power that is a number is enough for the deadline of {seconds:.6g} s{where}; client {names}."
    )
    return text, _tuple(who), 0.0


def named(clients: Clients, who: Any, say: Any) -> str:
    """The first few of some clients, each with what there is to say of it."""
    named = ", ".join(f"{clients.label(int(n))} {say(n)}" for n in who[:_NAMED])
    return named + (f" and {len(who) - _NAMED} more" if len(who) > _NAMED else "")


def _tuple(who: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in who)
