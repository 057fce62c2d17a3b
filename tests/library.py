"""The instance library: frozen instances with answers proved by interval arithmetic (experiments/make_instances.py).

A file of ``tests/instances`` holds a family. Numbers are JSON numbers, which Python writes and reads to the last bit;
proved bounds are decimals in strings, for they have more digits than a double. A column that is the same for all
clients is one number. ``python tests/library.py`` prints every instance with what the solver makes of it today, and
``python tests/library.py --note FAMILY ...`` notes the passes that it takes today.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from dataclasses import dataclass, replace
from decimal import Decimal, getcontext
from pathlib import Path
from typing import Any

import fedopt
from fedopt.access import Access, SharedBandwidth

FOLDER = Path(__file__).parent / "instances"
FORMAT, VERSION = "fedopt instances", 1
FAMILIES = ("typical", "near_least_duration", "near_least_energy", "extreme", "ties", "types", "shared")
BUDGETS = {
    "energy": fedopt.EnergyBudget,
    "power": fedopt.PowerBudget,
    "deadline": fedopt.Deadline,
    "price": fedopt.TimePrice,
}
COLUMNS = (
    "frequency_min", "frequency_max", "capacitance", "static_power", "samples", "channel_gain", "bandwidth",
    "noise_density", "power_max", "power_min", "circuit_power", "download_rate", "receive_power", "overhead",
)  # fmt: skip
WORK = ("cycles", "upload_bits", "download_bits")
EPS = 2.0**-52
getcontext().prec = 40


@dataclass(frozen=True, slots=True)
class Case:
    """An instance and what is proved about it.

    quantity : "duration" [s], or "energy" [J] for a deadline; ``bounds`` its proved lower and upper bound.
    condition : by so much a relative change of the budget changes the quantity, at least 1.
    passes : passes over the clients when the file was written.
    types : () for levels 2 and 3 alone, else the sub-models to choose from and ``partition`` the best one.
    """

    name: str
    clients: fedopt.Clients
    work: fedopt.Workload | None
    budget: Any
    quantity: str
    bounds: tuple[str, str]
    condition: float
    passes: int
    types: tuple[fedopt.SubModel, ...] = ()
    partition: tuple[int, ...] = ()
    access: Access | None = None

    def solve(self) -> fedopt.Schedule | fedopt.Solution:
        """What the solver's default methods say."""
        if self.types:
            return fedopt.solve(fedopt.Problem(self.clients, self.types, budget=self.budget))
        assert self.work is not None
        return fedopt.schedule(self.clients, self.work, self.budget, access=self.access)

    def error(self, value: float) -> float:
        """Relative distance of a value from the proved interval; NaN stays NaN."""
        if math.isnan(value):
            return math.nan
        low, high = (Decimal(bound) for bound in self.bounds)
        outside = max(low - Decimal(value), Decimal(value) - high, Decimal(0))
        return float(outside / high)

    def allowed(self) -> float:
        """The roundings of the goal, 32 ulp, times the condition; and the 1e-12 that level 2 promises."""
        return 32 * EPS * self.condition + 1e-12


def to_json(case: Case) -> dict[str, Any]:
    """A case as it is stored."""
    kind = next(name for name, cls in BUDGETS.items() if isinstance(case.budget, cls))
    record: dict[str, Any] = {"name": case.name, "budget": {kind: getattr(case.budget, case.budget.__slots__[0])}}
    record["clients"] = {name: _short(getattr(case.clients, name)) for name in COLUMNS}
    if case.work is not None:
        record["work"] = {name: _short(getattr(case.work, name)) for name in WORK}
    if case.types:
        record["types"] = [[s.name, s.flops, s.upload_bits, s.cover] for s in case.types]
        record["partition"] = list(case.partition)
    if isinstance(case.access, SharedBandwidth):
        record["shared_bandwidth"] = case.access.hertz
    return record | {
        case.quantity: list(case.bounds),
        "condition": float(f"{case.condition:.3g}"),
        "passes": case.passes,
        "count": len(case.clients),
    }


def from_json(record: dict[str, Any]) -> Case:
    """The case of a stored record."""
    quantity = "energy" if "energy" in record else "duration"
    ((kind, amount),) = record["budget"].items()
    columns = {name: _long(value) for name, value in record["clients"].items()}
    clients = fedopt.Clients(**columns, name=tuple(f"c{n}" for n in range(record["count"])))
    work = record.get("work")
    return Case(
        name=record["name"],
        clients=clients,
        work=None if work is None else fedopt.Workload(**work).sized(len(clients)),
        budget=BUDGETS[kind](amount),
        quantity=quantity,
        bounds=tuple(record[quantity]),
        condition=record["condition"],
        passes=record["passes"],
        types=tuple(fedopt.SubModel(n, flops=w, upload_bits=s, cover=q) for n, w, s, q in record.get("types", ())),
        partition=tuple(record.get("partition", ())),
        access=SharedBandwidth(record["shared_bandwidth"]) if "shared_bandwidth" in record else None,
    )


def _short(column: Any) -> Any:
    values = ["inf" if math.isinf(v) else float(v) for v in column]
    return values[0] if all(v == values[0] for v in values) else values


def _long(values: Any) -> Any:
    return (
        float(values) if isinstance(values, str) else [float(v) for v in values] if isinstance(values, list) else values
    )


def checksum(lines: list[str]) -> str:
    """Of the instances' lines as they stand in the file."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write(family: str, cases: list[Case]) -> None:
    """Write a family, a line per instance."""
    lines = [json.dumps(to_json(case), allow_nan=False, separators=(",", ":")) for case in cases]
    head = f'{{"format":"{FORMAT}","version":{VERSION},"family":"{family}","sha256":"{checksum(lines)}","instances":[\n'
    (FOLDER / f"{family}.json").write_text(head + ",\n".join(lines) + "\n]}\n", encoding="ascii")


def read(family: str) -> list[Case]:
    """A family's instances; its format, version and checksum must be right."""
    text = (FOLDER / f"{family}.json").read_text(encoding="ascii")
    content = json.loads(text)
    assert (content["format"], content["version"], content["family"]) == (FORMAT, VERSION, family)
    lines = [line.removesuffix(",") for line in text.splitlines()[1:-1]]
    assert checksum(lines) == content["sha256"], f"{family}.json is not what was written"
    return [from_json(record) for record in content["instances"]]


def note(family: str) -> None:
    """Note the passes that a family takes today: after a change that saves some, or that has to spend more."""
    write(family, [replace(case, passes=int(case.solve().stats["passes"])) for case in read(family)])


def main() -> None:
    if sys.argv[1:2] == ["--note"]:
        for family in sys.argv[2:]:
            note(family)
        return
    print("instance                     clients                   proved digits    error  allowed  passes      ms")
    for case in (case for family in FAMILIES for case in read(family)):
        started = time.perf_counter()
        found = case.solve()
        ms = 1e3 * (time.perf_counter() - started)
        low, high = (Decimal(bound) for bound in case.bounds)
        digits = math.floor(-(high / low - 1).log10())
        passes = f"{found.stats['passes']:.0f}/{case.passes}"
        error = case.error(getattr(found, case.quantity))
        print(
            f"{case.name:28} {len(case.clients):7} {case.bounds[0][:24]:>24} {digits:6} {error:8.1e} "
            f"{case.allowed():8.1e} {passes:>7} {ms:7.2f}"
        )


if __name__ == "__main__":
    main()
