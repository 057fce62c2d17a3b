"""Access schemes: how the clients share the uplink where they have no channels of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedopt.checks import FloatArray, by_constructor, kind, number

if TYPE_CHECKING:
    from fedopt.clients import Clients
    from fedopt.submodels import Workload


@dataclass(frozen=True, slots=True)
class TimeDivision:
    """TDMA: one channel of ``hertz`` [Hz]. Everybody computes first, then sends, one after another, on all of it.

    The round lasts T_cmp + the sum of the slots, T_cmp = max(t_0 + t_d + t_n). Source: section 7 of the model; Tran et
    al., "Federated Learning over Wireless Networks", IEEE INFOCOM 2019. ``clients.bandwidth`` is not used.
    """

    hertz: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "hertz", number("TimeDivision.hertz", self.hertz, unit="Hz"))


@dataclass(frozen=True, slots=True)
class SharedBandwidth:
    """FDMA: the clients share ``hertz`` [Hz], each on a part of it that the solver chooses.

    Bandwidths, frequencies, powers and duration are decided together (section 7 of the model). ``clients.bandwidth`` is
    not used.
    """

    hertz: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "hertz", number("SharedBandwidth.hertz", self.hertz, unit="Hz"))


Access = TimeDivision | SharedBandwidth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sharing:
    """What an access scheme decided, and its proof.

    Attributes
    ----------
    bandwidth : (N,) [Hz] that each client sends on, read-only; 0 for one that sends nothing.
    time_price : [W] lambda = -dE/dT, what one more second of round would save (one that fits where a range does). For
        time division it is every slot's price and the sum of the computing prices, which are ``allocation.price``; for
        shared bandwidth it is the sum of the clients' prices.
    bandwidth_price : [J/Hz] mu = -dE/dB, what one more hertz would save; NaN for time division.
    compute_end : [s] T_cmp, when everybody has computed and the slots begin; NaN for shared bandwidth.
    residual : greatest relative violation of the KKT conditions, from decision and prices alone.
    gap : (energy - dual value at these prices) / energy, at the duration found: no decision can do better by more.
        Under a TimePrice of energy + price x duration, whatever the duration. NaN where the prices prove nothing, as
        where power without limit takes them out of the range of a double.
    """

    bandwidth: FloatArray
    time_price: float
    bandwidth_price: float
    compute_end: float
    residual: float
    gap: float

    def __post_init__(self) -> None:
        kind("Sharing.bandwidth", self.bandwidth, np.ndarray, "an array, one entry per client")
        self.bandwidth.flags.writeable = False

    __reduce__ = by_constructor


def check_access(name: str, access: Any) -> None:
    """Raise InputError unless ``access`` is None (the clients' own channels) or one of the schemes."""
    if access is not None:
        kind(name, access, Access.__args__, "None, a TimeDivision or a SharedBandwidth")


def channel(access: Access | None, own: FloatArray | None, bandwidth: Any, size: int) -> FloatArray:
    """The bandwidth [Hz] each client of a decision sends on, (N,)."""
    if isinstance(access, TimeDivision):
        return np.broadcast_to(np.float64(access.hertz), (size,))
    if isinstance(access, SharedBandwidth):
        given: FloatArray = np.broadcast_to(np.asarray(bandwidth, dtype=np.float64), (size,))
        return given
    assert own is not None
    return own


def coupling(
    access: Access,
    clients: Clients,
    work: Workload,
    duration: float,
    frequency: FloatArray,
    rate: FloatArray,
    bandwidth: FloatArray,
) -> tuple[str, float]:
    """What the constraint is called that couples the clients, and its relative violation (<= 0 where it holds)."""
    sends = work.upload_bits > 0.0
    if isinstance(access, SharedBandwidth):
        used = float(bandwidth[sends].sum())
        return "the clients use more than the shared bandwidth", used / access.hertz - 1.0
    assert work.download_bits is not None
    computing = np.where(work.cycles > 0.0, work.cycles / frequency, 0.0)
    ready = np.where(work.idle, 0.0, clients.overhead + work.download_bits / clients.download_rate + computing)
    needed = float(ready.max()) + float(np.where(sends, work.upload_bits / rate, 0.0).sum())
    late = needed / duration - 1.0 if duration > 0.0 else math.inf if needed > 0.0 else 0.0
    return "the slots end after the round", late
