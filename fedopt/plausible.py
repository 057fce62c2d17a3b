"""Numbers no device has: legal, so never refused, but most often a unit that was left out. The command says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedopt.checks import FloatArray, kind
from fedopt.clients import FIELD, Clients


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A quantity of every client, what makes its whole column odd, and the question to ask then."""

    name: str
    of: Callable[[Clients], FloatArray] | None = None  # None: the field of that name
    odd: Callable[[FloatArray], bool]
    why: str
    meant: str

    def hint(self, clients: Clients) -> str:
        """The sentence; empty where nothing is odd."""
        with np.errstate(over="ignore"):
            values = getattr(clients, self.name) if self.of is None else self.of(clients)
        if not self.odd(values):
            return ""
        unit = "W" if self.of is not None else FIELD[self.name].unit
        return f"{self.name} is {_span(values, unit)}: {self.why}; {self.meant} meant?"


_RULES = (
    _Rule(
        name="frequency_max",
        odd=lambda f: bool(f.max() < 1e6),
        why="no CPU is that slow",
        meant="frequency_max[GHz] or frequency_max[MHz]",
    ),
    _Rule(
        name="bandwidth",
        odd=lambda b: bool(b.max() < 1e3),
        why="no uplink is that narrow",
        meant="bandwidth[MHz] or bandwidth[kHz]",
    ),
    _Rule(
        name="channel_gain",
        odd=lambda h: bool(h.max() > 1.0),
        why="a channel does not amplify",
        meant="channel_gain[dB], which is below 0 (a loss of 98 dB is a gain of -98)",
    ),
    _Rule(
        name="power_max",
        odd=lambda p: bool(np.isfinite(p.min()) and p.min() > 10.0),
        why="no phone sends with so much",
        meant="power_max[dBm] or power_max[mW]",
    ),
    _Rule(
        name="static_power",
        odd=lambda p: bool(p.max() > 1e3),
        why="no CPU draws so much",
        meant="static_power[mW]",
    ),
    _Rule(
        name="circuit_power",
        odd=lambda p: bool(p.max() > 1e3),
        why="no radio draws so much",
        meant="circuit_power[mW]",
    ),
    _Rule(
        name="capacitance x frequency_max^3",
        of=lambda clients: clients.capacitance * clients.frequency_max**3,
        odd=lambda p: bool(p.min() > 1e5),  # of one CPU; a slip of unit is off by 1e9 and more
        why="no CPU draws so much",
        meant="capacitance[W/GHz^3]",
    ),
)


def hints(clients: Clients) -> tuple[str, ...]:
    """A sentence for every column that no fleet of devices has, with the unit that may be missing; mostly none.

    Takes the column as a whole: a single odd client is the user's business. Problems in scaled units are legal and
    get hints at most.
    """
    kind("clients", clients, Clients, "a Clients table")
    return tuple(hint for hint in (rule.hint(clients) for rule in _RULES) if hint)


def _span(values: FloatArray, unit: str) -> str:
    least, greatest = f"{values.min():.4g}", f"{values.max():.4g}"
    text = least if least == greatest else f"{least} to {greatest}"
    return f"{text} {unit}".rstrip()
