"""What a verification found: a row per check, and what they come to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from fedopt.checks import FloatArray
from fedopt.report import Table


class Outcome(Enum):
    """What came of a check; only FAILED speaks against the answer."""

    PASSED = "passed"
    FAILED = "FAILED"
    UNPROVED = "not re-proved"  # claimed, but too large to be proved again here, or not claimed and not so
    CLAIMED = "claimed, not proved"  # prices, which are all there is to prove it by, lead no further
    NOTHING = "nothing claimed"


class About(Enum):
    """What a check is about. A decision that fails is wrong; one that only fails in OPTIMALITY could be better."""

    DECISION = "decision"  # can the round be done like this, within the budget?
    NUMBERS = "numbers"  # are the answer's own numbers those of its decision?
    OPTIMALITY = "optimality"  # is no other decision for this matching better?
    CLAIMS = "claims"  # do the bounds over all matchings, partitions and durations hold?


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row: ``found`` and ``allowed`` in words with units, ``why`` the reason, or the client where one is at fault.

    ``residual`` is the number behind it, relative where it can be, NaN where nothing was computed.
    """

    name: str
    about: About
    outcome: Outcome
    found: str = ""
    allowed: str = ""
    why: str = ""
    residual: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All checks of an answer. ``str(report)`` is a table."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """No check failed. What was not re-proved does not count against the answer: see ``complete``."""
        return not self.failed

    @property
    def complete(self) -> bool:
        """Every claim was proved again."""
        return all(check.outcome in (Outcome.PASSED, Outcome.NOTHING) for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that speak against the answer."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)

    @property
    def sentence(self) -> str:
        """What it comes to."""
        abouts = {check.about for check in self.failed}
        if not abouts:
            left = sum(check.outcome in (Outcome.UNPROVED, Outcome.CLAIMED) for check in self.checks)
            return "Verified." if not left else f"Verified, but for {left} not proved again."
        if About.DECISION in abouts:
            return "Not verified: the round cannot be done like this."
        if About.NUMBERS in abouts:
            return "Not verified: the answer's numbers are not those of its decision."
        if About.OPTIMALITY in abouts:
            return "Not verified: the round can be done like this, but it is not the best."
        return "Not verified: the answer claims more than is true."

    def table(self) -> Table:
        """The rows as a table, and the sentence below."""
        rows = tuple((c.outcome.value, c.about.value, c.name, c.found, c.allowed, c.why) for c in self.checks)
        columns = ("outcome", "about", "check", "found", "allowed", "why")
        return Table(title="", columns=columns, rows=rows, notes=(self.sentence,), left=6)

    def __str__(self) -> str:
        return self.table().text()


def judged(name: str, about: About, residual: float, limit: float, *, found: str = "", why: str = "") -> Check:
    """A check of one relative residual against its limit; NaN fails."""
    outcome = Outcome.PASSED if residual <= limit else Outcome.FAILED
    text = found or f"{max(residual, 0.0):.2g} relative"
    return Check(
        name=name, about=about, outcome=outcome, found=text, allowed=f"{limit:.2g} relative", why=why, residual=residual
    )


def worst(
    name: str,
    about: About,
    residual: FloatArray,
    limit: float,
    say: tuple[str, FloatArray, FloatArray] | None,
    who: str,
) -> Check:
    """A check of one residual per client: the worst one, by name where it fails.

    say: unit, what each client has and what it should have; who: the text before a client's index.
    """
    if residual.size == 0:
        return Check(name=name, about=about, outcome=Outcome.NOTHING)
    values = np.where(np.isnan(residual), np.inf, residual)
    n = int(np.argmax(values))
    why = ""
    if not values[n] <= limit:
        why = f"{who} {n}"
        if say is not None:
            unit, has, should = say
            why += f": {has[n]:.12g} against {should[n]:.12g} {unit}".rstrip()
    return judged(name, about, float(values[n]), limit, why=why)
