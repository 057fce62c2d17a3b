"""The engines on a GPU, where there is one: the same bits in every run, and the CPU's numbers but for rounding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lessons import lesson, timeless  # noqa: E402
from rounds import CNN, DENSE, DROPPING, MLP, bits, jobs, ran, work  # noqa: E402
from torch import nn  # noqa: E402

import fedopt  # noqa: E402
from fedopt.training.algorithm import LocalSGD  # noqa: E402
from fedopt.training.engines import ENGINES, chosen, open_engine  # noqa: E402
from fedopt.training.local import Diverged  # noqa: E402

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
POOLED = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(),
)  # fmt: skip
MODULES = {"mlp": MLP, "batch norm": CNN, "pooling": POOLED, "dropout": DROPPING, "dense": DENSE}
PAIRS = [
    (name, engine)
    for name, module in MODULES.items()
    for engine in ("plain", "recorded", "stacked")
    if engine != "stacked" or module in (MLP, DENSE)
]


def test_the_recording_engine_wants_a_gpu() -> None:
    with pytest.raises(fedopt.InputError, match="'plain' or 'sidebyside' on a CPU"):
        open_engine("recorded", work(MLP))


def test_every_engine_of_a_gpu_is_tested_on_one() -> None:
    assert {engine for _, engine in PAIRS} == set(ENGINES.names) - {"sidebyside"}


@GPU
@pytest.mark.parametrize(("name", "engine"), PAIRS)
@pytest.mark.parametrize("local", [LocalSGD(batch=4, rate=0.1), LocalSGD(batch=None, epochs=2, decay=0.5)])
def test_a_gpu_trains_what_the_cpu_trains(name: str, engine: str, local: LocalSGD) -> None:
    """Dropout draws otherwise on a GPU: only its repetition is compared."""
    given = work(MODULES[name], local)
    there = replace(given, device="cuda")
    found = ran(engine, there, 1)
    assert found == ran(engine, there, 1)
    if name == "dropout":
        return
    with open_engine("plain", given) as cpu, open_engine(engine, there) as gpu:
        for one, other in zip(cpu.run(jobs(given), 1), gpu.run(jobs(there), 1), strict=True):
            assert other.loss == pytest.approx(one.loss, rel=1e-4)
            for key, value in one.parameters.items():
                assert other.parameters[key].device.type == "cpu"
                torch.testing.assert_close(other.parameters[key], value, rtol=1e-4, atol=1e-5)


@GPU
@pytest.mark.parametrize("module", [CNN, DROPPING, POOLED], ids=["batch norm", "dropout", "pooling"])
def test_a_recording_plays_the_same_whatever_was_played_before(module: nn.Module) -> None:
    given = replace(work(module), device="cuda")
    expected = [ran("recorded", given, round) for round in range(2)]
    with open_engine("recorded", given) as engine:
        assert bits(engine.run(jobs(given)[::-1], 1)) == expected[1][::-1]
        assert [bits(engine.run(jobs(given), round)) for round in range(2)] == expected
    assert expected[0] != expected[1]


@GPU
def test_torchs_own_settings_are_put_back() -> None:
    before, state = torch.backends.cudnn.allow_tf32, torch.cuda.get_rng_state()
    ran("recorded", replace(work(DROPPING), device="cuda"))
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.allow_tf32 == before
    assert torch.equal(torch.cuda.get_rng_state(), state)


@GPU
def test_an_operation_that_cannot_be_repeated_is_named() -> None:
    shaky = nn.Sequential(nn.Upsample(scale_factor=2.0, mode="bicubic"), nn.Flatten(), nn.Linear(64, 3))
    given = replace(work(nn.Sequential(nn.Conv2d(1, 1, 1), *shaky)), device="cuda")
    with pytest.raises(RuntimeError, match="bicubic"):
        ran("plain", given)


@GPU
@pytest.mark.parametrize("engine", ["plain", "recorded"])
def test_a_diverging_client_is_named(engine: str) -> None:
    given = replace(work(CNN, LocalSGD(batch=4, rate=1e38, epochs=3)), device="cuda")
    with open_engine(engine, given) as opened, pytest.raises(Diverged, match="client 0, round 1"):
        opened.run(jobs(given), 0)


@GPU
@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_a_run_on_a_gpu_learns_and_goes_on_to_the_same_bits(engine: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"engine": engine, "device": "cuda"}
    whole = lesson(rounds=4, **settings)
    cpu = lesson(rounds=4, engine="plain")
    lesson(rounds=2, checkpoint=tmp_path / "run", **settings)
    again = lesson(rounds=4, checkpoint=tmp_path / "run", **settings)
    assert repr(timeless(again.rows)) == repr(timeless(whole.rows))  # NaN is not itself
    for name, value in whole.parameters.items():
        assert torch.equal(again.parameters[name], value)
    assert whole.rows[-1].accuracy == pytest.approx(cpu.rows[-1].accuracy, abs=0.05)


@GPU
def test_auto_on_a_gpu() -> None:
    assert chosen(replace(work(CNN), device="cuda")) == "recorded"
    assert chosen(replace(work(MLP), device="cuda")) == "stacked"


@GPU
def test_side_by_side_is_refused_where_autograd_would_not_survive_the_fork() -> None:
    given = work(CNN)
    assert ran("plain", replace(given, device="cuda"))
    assert chosen(given) == "plain"
    with pytest.raises(fedopt.InputError, match="no autograd before"):
        open_engine("sidebyside", given)
