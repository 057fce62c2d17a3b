"""Hypothesis strategies for tests of whatever uses fedopt; needs hypothesis (extra ``testing``).

    from fedopt.testing import problems

    @given(problems())
    def test_mine(problem): ...

``hostile=True`` draws what is legal and unkind: twenty decades of every unit, ranges of one number, nothing to send or
to compute, no channel at all, power without limit, clients that are the same to the bit, idle places, every utility.
Otherwise numbers are those of phones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedopt.access import SharedBandwidth, TimeDivision
from fedopt.checks import harmless, whole
from fedopt.clients import Clients
from fedopt.problem import UTILITIES, Budget, Deadline, EnergyBudget, PowerBudget, Problem, TimePrice
from fedopt.scenario import Scenario
from fedopt.submodels import SubModel, Workload
from solvers.lookup import MissingExtra

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise MissingExtra("fedopt.testing needs hypothesis: pip install 'fedopt[testing]'", name=error.name) from error

Numbers = st.SearchStrategy[float]

_DECADES = 20  # of a hostile number
_SIZES = ("cycles", "upload_bits", "download_bits")

names = st.text(st.characters(categories=("L", "N", "P", "S"), include_characters=" "), min_size=1, max_size=12).filter(
    lambda text: text.isprintable() and harmless(text) == text
)


def clients(
    *, min_size: int = 1, max_size: int = 8, hostile: bool = False, named: bool = False
) -> st.SearchStrategy[Clients]:
    """Fleets of ``min_size`` to ``max_size`` clients, in SI units; ``named`` gives them names.

    Raises InputError for a ``min_size`` below 1.
    """
    whole("min_size", min_size, least=1)
    return st.integers(min_size, max_size).flatmap(lambda size: _fleet(size, hostile, named))


def submodels(
    *, min_size: int = 1, max_size: int = 3, hostile: bool = False
) -> st.SearchStrategy[tuple[SubModel, ...]]:
    """Types with different names, the first of cover 1, so that they fill any fleet; hostile ones may end with an idle
    place. Raises InputError for a ``min_size`` below 1."""
    whole("min_size", min_size, least=1)
    each = st.tuples(_around(2e7, hostile, zero=True), _around(3e5, hostile, zero=True), st.sampled_from([1, 2, 4]))
    sizes = st.lists(each, min_size=min_size, max_size=max_size)
    idle = st.booleans() if hostile else st.just(False)
    return st.tuples(sizes, idle).map(lambda drawn: _types(*drawn))


def workloads(size: int, *, hostile: bool = False) -> st.SearchStrategy[Workload]:
    """Cycles and bits of ``size`` clients; hostile ones may have nothing to do."""
    cycles, bits = _around(2e10, hostile, zero=True), _around(3e5, hostile, zero=True)
    columns = st.tuples(_column(cycles, size), _column(bits, size), _column(bits, size))
    return columns.map(lambda drawn: Workload(**dict(zip(_SIZES, map(np.array, drawn), strict=True))))


def budgets(*, hostile: bool = False) -> st.SearchStrategy[Budget]:
    """A budget of one of the four kinds, of any size: it may be slack, or not to be met."""
    joules, watts, seconds = (_around(typical, hostile) for typical in (20.0, 2.0, 20.0))
    return st.one_of(
        joules.map(EnergyBudget), watts.map(PowerBudget), seconds.map(Deadline), _around(2.0, hostile).map(TimePrice)
    )


def problems(*, max_size: int = 6, hostile: bool = False, shared: bool = False) -> st.SearchStrategy[Problem]:
    """Whole problems, of all partitions; ``shared`` has some on a shared uplink."""
    uplink = _around(1e6, hostile)
    access: Any = st.one_of(st.none(), uplink.map(SharedBandwidth), uplink.map(TimeDivision)) if shared else st.none()
    return st.builds(
        lambda fleet, types, budget, scheme, utility: Problem(
            fleet, types, budget=budget, access=scheme, utility=utility
        ),
        clients(max_size=max_size, hostile=hostile, named=True),
        submodels(hostile=hostile),
        budgets(hostile=hostile),
        access,
        st.sampled_from([None, *UTILITIES]) if hostile else st.none(),
    )


def scenarios(*, max_size: int = 6, hostile: bool = False) -> st.SearchStrategy[Scenario]:
    """Problems with the keywords of a search: a matching that knows every budget, a seed."""
    settings = st.fixed_dictionaries(
        {"matching": st.sampled_from(["exact", "sorted", "marginal", "random"]), "seed": st.integers(0, 2**32)}
    )
    return st.builds(
        lambda problem, chosen: Scenario(problem=problem, settings=chosen),
        problems(max_size=max_size, hostile=hostile, shared=True),
        settings,
    )


def _around(typical: float, hostile: bool, *, zero: bool = False, infinite: bool = False) -> Numbers:
    """Numbers within a factor of four, or within twenty decades, with some that many share, and some 0 or inf."""
    if not hostile:
        return st.floats(0.25 * typical, 4.0 * typical)
    wide = st.floats(-_DECADES / 2, _DECADES / 2).map(lambda power: typical * 10.0**power)
    ties = st.sampled_from([typical, 2.0 * typical, *([0.0] if zero else []), *([math.inf] if infinite else [])])
    return st.one_of(ties, wide, st.floats(0.25 * typical, 4.0 * typical))


def _column(numbers: Numbers, size: int) -> st.SearchStrategy[list[float]]:
    """A number for each client, or one that all of them have."""
    return st.one_of(st.lists(numbers, min_size=size, max_size=size), numbers.map(lambda number: [number] * size))


def _fleet(size: int, hostile: bool, named: bool) -> st.SearchStrategy[Clients]:
    share = st.sampled_from([0.0, 0.1, 1.0]) if hostile else st.floats(0.05, 0.5)  # of the range's upper end
    some = _around(0.05, hostile, zero=True)
    drawn = {
        "frequency_max": _column(_around(1.5e9, hostile), size),
        "frequency_min": _column(share, size),
        "capacitance": _column(_around(1e-28, hostile), size),
        "static_power": _column(some, size),
        "samples": _column(_around(500.0, hostile), size),
        "channel_gain": _column(_around(1e-11, hostile, zero=True), size),
        "bandwidth": _column(_around(2.5e5, hostile), size),
        "power_max": _column(_around(0.2, hostile, infinite=True), size),
        "power_min": _column(share if hostile else st.just(0.0), size),
        "circuit_power": _column(some, size),
        "download_rate": _column(_around(1e7, hostile, infinite=True), size),
        "receive_power": _column(some, size),
        "overhead": _column(some, size),
    }
    labels: Any = st.lists(names, min_size=size, max_size=size) if named else st.none()
    return st.tuples(st.fixed_dictionaries(drawn), labels).map(lambda both: _clients(*both))


def _clients(columns: dict[str, list[float]], name: list[str] | None) -> Clients:
    for low, high in (("frequency_min", "frequency_max"), ("power_min", "power_max")):
        columns[low] = [
            share * (top if top < math.inf else 0.2) for share, top in zip(columns[low], columns[high], strict=True)
        ]
    given: dict[str, Any] = {**columns, "name": name}
    return Clients(**given)


def _types(sizes: list[tuple[float, float, int]], idle: bool) -> tuple[SubModel, ...]:
    types = [
        SubModel(f"type {k}", flops=flops, upload_bits=bits, cover=cover if k else 1)
        for k, (flops, bits, cover) in enumerate(sizes)
    ]
    if types[0].is_idle:  # it fills any fleet, and somebody has to train
        types[0] = SubModel("type 0", flops=1e7, upload_bits=types[0].upload_bits)
    return (*types, SubModel.idle()) if idle else tuple(types)
