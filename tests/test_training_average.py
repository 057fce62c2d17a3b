"""The one weighted average: hand-computed examples, and what must not change a bit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor, nn

from fedopt.training.average import Pieces, Share, average, snapshot


def entry(*numbers: float) -> dict[str, Tensor]:
    return {"w": torch.tensor(numbers)}


def rows(start: int, stop: int) -> dict[str, Pieces]:
    return {"w": (((slice(start, stop),), (slice(0, stop - start),)),)}


def test_whole_models_are_averaged_by_their_samples() -> None:
    after = average(entry(1.0, 2.0), [(Share(entry(2.0, 2.0), 1),), (Share(entry(6.0, -2.0), 3),)])
    assert after["w"].tolist() == [5.0, -1.0]  # (2 + 3 x 6)/4 and (2 - 3 x 2)/4


def test_a_replica_is_rebuilt_before_replicas_are_averaged() -> None:
    """Halves of 4 numbers; both clients of replica A trained numbers 1 and 2, only one of B came back."""
    before = entry(0.0, 0.0, 0.0, 0.0)
    first = (Share(entry(4.0, 4.0, 4.0), 10, rows(0, 3)), Share(entry(8.0, 8.0, 8.0), 30, rows(1, 4)))
    second = (Share(entry(16.0, 16.0), 10, rows(2, 4)),)
    after = average(before, [first, second])
    # A: 4, 6, 6, 8 with weight 40; B: nothing, nothing, 16, 16 with weight 10
    np.testing.assert_allclose(after["w"], [4.0, 6.0, (40 * 6 + 160) / 50, (40 * 8 + 160) / 50], rtol=1e-7)
    alone = average(before, [(share,) for share in (*first, *second)])  # entry by entry
    np.testing.assert_allclose(alone["w"], [4.0, (40 + 240) / 40, (40 + 240 + 160) / 50, (240 + 160) / 40], rtol=1e-7)


def test_what_nobody_trained_keeps_its_bits() -> None:
    before = entry(0.1, -0.0, float(np.float32(1e-42)), 3.0)
    after = average(before, [(Share(entry(7.0), 5, rows(3, 4)),)])
    assert after["w"].view(torch.int32)[:3].equal(before["w"].view(torch.int32)[:3])
    assert after["w"][3] == 7.0
    assert average(before, [])["w"].equal(before["w"])


def test_unchanged_models_average_to_themselves_whatever_the_weights() -> None:
    before = {"w": torch.randn(1000, generator=torch.Generator().manual_seed(1)), "steps": torch.tensor(2**40 + 1)}
    for weights in [(1, 3, 7), (937, 1, 12345), (599, 601, 1)]:
        three = [Share(before, samples) for samples in weights]
        for replicas in ([(share,) for share in three], [three], [three[:1], three[1:]]):
            after = average(before, replicas)
            assert all(after[name].equal(before[name]) and after[name].dtype == before[name].dtype for name in before)


def test_the_mean_is_that_of_exact_arithmetic_rounded_once() -> None:
    """Against fractions: float64 sums of float32 changes are good to far below a float32's last digit."""
    rng = np.random.default_rng(3)
    before = torch.from_numpy(rng.normal(size=200).astype(np.float32))
    models = [before + torch.from_numpy(rng.normal(scale=0.01, size=200).astype(np.float32)) for _ in range(64)]
    samples = rng.integers(1, 2000, size=64).tolist()
    after = average({"w": before}, [(Share({"w": m}, n),) for m, n in zip(models, samples, strict=True)])["w"]
    for index in range(200):
        exact = sum(n * Fraction(float(m[index])) for m, n in zip(models, samples, strict=True)) / sum(samples)
        assert float(after[index]) == float(np.float32(float(exact)))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_neither_threads_nor_memory_layout_change_a_bit(threads: int) -> None:
    before = torch.randn((97, 1031), generator=torch.Generator().manual_seed(1))
    models = [before + 0.01 * k * torch.cos(before) for k in range(1, 6)]
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        one = average({"w": before}, [(Share({"w": m}, 3 * k + 1),) for k, m in enumerate(models)])["w"]
        other = [m.t().contiguous().t() for m in models]
        two = average({"w": before}, [(Share({"w": m}, 3 * k + 1),) for k, m in enumerate(other)])["w"]
    finally:
        torch.set_num_threads(usual)
    total, weight = torch.zeros(before.shape, dtype=torch.float64), 0
    for k, m in enumerate(models):  # number by number, as the docstring has it
        total += (3 * k + 1) * (m.double() - before.double())
        weight += 3 * k + 1
    assert one.equal(two)
    assert one.equal((before.double() + total / weight).float())


def test_a_whole_model_in_two_pieces_has_the_bits_of_one() -> None:
    """The short way for whole entries, and the number by number way."""
    before = torch.randn(64, generator=torch.Generator().manual_seed(1))
    models = [before + 0.01 * k * torch.cos(before) for k in range(1, 6)]
    halves = {"w": tuple(((s,), (s,)) for s in (slice(0, 24), slice(24, 64)))}
    for sizes in ([1] * 5, [2, 3], [5]):
        parts = np.split(np.arange(5), np.cumsum(sizes)[:-1])
        one, two = (
            average({"w": before}, [[Share({"w": models[k]}, int(3 * k + 1), pieces) for k in part] for part in parts])
            for pieces in (None, halves)
        )
        assert one["w"].equal(two["w"])


def test_batch_norms_step_count_is_rounded_and_stays_whole() -> None:
    model = nn.BatchNorm1d(3)
    before = snapshot(model)
    shares = [(Share({**before, "num_batches_tracked": torch.tensor(steps)}, 1),) for steps in (3, 4, 4)]
    after = average(before, shares)
    assert after["num_batches_tracked"].dtype == torch.int64
    assert after["num_batches_tracked"] == 4  # 11/3


def test_a_snapshot_does_not_follow_the_model() -> None:
    model = nn.Linear(2, 2)
    before = snapshot(model)
    with torch.no_grad():
        model.weight.add_(1.0)
    assert not torch.equal(before["weight"], model.weight)
    assert not before["weight"].requires_grad
