"""Local training and the engines: gradients by hand, centralised training as second truth, one bit pattern."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rounds import CNN, DENSE, DROPPING, FORKS, MLP, jobs, ran, work  # noqa: E402
from torch import nn  # noqa: E402

import fedopt  # noqa: E402
from fedopt.training.algorithm import Job, Kind, LocalSGD  # noqa: E402
from fedopt.training.algorithms import ALGORITHMS  # noqa: E402
from fedopt.training.dense import names_of  # noqa: E402
from fedopt.training.engines import ENGINES, chosen, open_engine  # noqa: E402
from fedopt.training.evaluate import evaluate  # noqa: E402
from fedopt.training.local import Diverged, order, scratch, train  # noqa: E402


@pytest.mark.parametrize("module", [MLP, CNN, DROPPING], ids=["mlp", "cnn", "dropout"])
def test_a_client_trains_the_same_whoever_else_does_and_in_whatever_order(module: nn.Module) -> None:
    given = work(module)
    engines = ("plain", "stacked") if module is MLP else ("plain",)
    for engine in engines:
        everybody = ran(engine, given)
        assert ran(engine, given, which=slice(None, None, -1)) == everybody[::-1]
        assert ran(engine, given, which=slice(2, 4)) == everybody[2:4]
    assert ran("auto", given, which=slice(2, 4)) == ran(chosen(given), given)[2:4]


def test_the_number_of_threads_and_torchs_own_random_state_change_no_bit_and_are_put_back() -> None:
    given = work(DROPPING)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    expected = ran("plain", given)
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_num_threads(3)
    try:
        torch.manual_seed(99)
        assert ran("plain", given) == expected
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_two_steps_by_hand() -> None:
    """Softmax regression: the gradient is (softmax(Wx + b) - onehot) x^T, averaged over the batch."""
    local = LocalSGD(batch=2, rate=0.5, decay=0.9)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 4)), np.array([0, 2, 1])
    module = nn.Linear(4, 3).double()
    start = {name: value.detach().clone() for name, value in module.state_dict().items()}
    W, b = start["weight"].numpy().copy(), start["bias"].numpy().copy()
    (turn,) = order(3, local, client=4, round=2, seed=7)
    losses = []
    for batch in (turn[:2], turn[2:]):
        z = x[batch] @ W.T + b
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        losses.append(-np.log(p[np.arange(len(batch)), y[batch]]).mean())
        delta = (p - np.eye(3)[y[batch]]) / len(batch)
        W, b = W - 0.5 * 0.81 * delta.T @ x[batch], b - 0.5 * 0.81 * delta.sum(0)
    job = Job(client=4, kind=0, parameters=start)
    update = train(job, scratch(module), torch.tensor(x), torch.tensor(y), local, round=2, seed=7)
    np.testing.assert_allclose(update.parameters["weight"].numpy(), W, rtol=1e-12)
    np.testing.assert_allclose(update.parameters["bias"].numpy(), b, rtol=1e-12)
    assert update.loss == pytest.approx(np.mean(losses), rel=1e-12)
    assert update.samples == 3


@pytest.mark.parametrize("engine", ["plain", "stacked"])
@pytest.mark.parametrize("local", [LocalSGD(epochs=2, batch=4, rate=0.3), LocalSGD(batch=None), LocalSGD(batch=1)])
def test_written_out_steps_are_those_of_autograd(engine: str, local: LocalSGD) -> None:
    """Autograd trains the same network where it does not know it: behind an Identity."""
    given = work(DENSE, local, double=True)
    module = copy.deepcopy(DENSE).double()
    own = Kind(footprint=given.kinds[0].footprint, module=module)
    other = Kind(footprint=own.footprint, module=nn.Sequential(*module, nn.Identity()))
    assert names_of(module)
    assert not names_of(other.module)
    found, expected = (replace(given, kinds=(kind,)) for kind in (own, other))
    with open_engine(engine, found) as one, open_engine("plain", expected) as two:
        for mine, theirs in zip(one.run(jobs(found), 3), two.run(jobs(expected), 3), strict=True):
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-12)
            for name, value in theirs.parameters.items():
                torch.testing.assert_close(mine.parameters[name], value, rtol=1e-11, atol=1e-13)
            assert not torch.equal(mine.parameters["1.weight"], module[1].weight)


def test_what_is_no_chain_of_linear_and_relu_is_left_to_autograd() -> None:
    shared = nn.Linear(4, 4)
    frozen = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    frozen[0].weight.requires_grad_(False)
    for module in (
        CNN, DROPPING, frozen, shared, nn.Sequential(), nn.Sequential(shared, nn.ReLU()), nn.Sequential(shared, shared),
        nn.Sequential(shared, nn.ReLU(), shared), nn.Sequential(nn.Linear(4, 4, bias=False)),
        nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)),
    ):  # fmt: skip
        assert names_of(module) == ()
    assert names_of(MLP) == ("1", "3")
    with pytest.raises(fedopt.InputError, match="engine: expected 'plain' or 'sidebyside', or a Sequential of"):
        open_engine("stacked", work(CNN))


def test_every_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    local = LocalSGD(epochs=3)
    epochs = order(50, local, client=1, round=0, seed=0)
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    others = [order(50, local, client=c, round=r, seed=s)[0] for c, r, s in ((2, 0, 0), (1, 1, 0), (1, 0, 1))]
    assert len({tuple(each) for each in [*epochs, *others]}) == 6


def descent(module: nn.Module, images: Any, labels: Any, rate: float, steps: int) -> dict[str, Any]:
    """Centralised full-batch gradient descent with torch's own optimiser."""
    central = copy.deepcopy(module)
    optimiser = torch.optim.SGD(central.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(central(images), labels).backward()
        optimiser.step()
    return central.state_dict()


def test_fedsgd_of_everybody_is_gradient_descent_on_all_samples() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    algorithm = ALGORITHMS.get("fedsgd")()  # type: ignore[call-arg]
    given = work(module, algorithm.local, double=True)
    server = algorithm.init(module)
    with open_engine("plain", given) as engine:
        for round in range(5):
            updates = engine.run(algorithm.jobs(server, np.zeros(5, dtype=np.int64)), round)
            server = algorithm.apply(server, updates)
    central = descent(module, given.images, given.labels, rate=0.05, steps=5)
    for name, value in central.items():
        torch.testing.assert_close(server.parameters[name], value, rtol=1e-12, atol=1e-14)
    assert server.round == 5


def test_fedavg_of_one_client_is_its_own_sgd() -> None:
    algorithm = ALGORITHMS.get("fedavg")()  # type: ignore[call-arg]
    given = work(MLP)
    server = algorithm.init(MLP)
    with open_engine("plain", given) as engine:
        (update,) = engine.run(algorithm.jobs(server, np.array([-1, -1, -1, 0, -1])), 0)
        assert update.job.client == 3
        after = algorithm.apply(server, [update])
    for name, value in update.parameters.items():
        torch.testing.assert_close(after.parameters[name], value, rtol=1e-6, atol=1e-7)
    assert not torch.equal(after.parameters["1.weight"], server.parameters["1.weight"])
    assert torch.equal(server.parameters["1.weight"], MLP[1].weight)


def test_fedsgd_takes_one_step_and_no_other() -> None:
    with pytest.raises(fedopt.InputError, match=r"FedSGD\.local.*epochs=2, batch=None"):
        ALGORITHMS.get("fedsgd")(local=LocalSGD(epochs=2, batch=None))  # type: ignore[call-arg]


@pytest.mark.parametrize("engine", ["plain", "stacked", pytest.param("sidebyside", marks=FORKS)])
def test_a_loss_that_is_no_number_names_client_and_round(engine: str) -> None:
    given = work(MLP)
    images = given.images.clone()
    images[int(given.split[2][0])] = float("nan")
    with (
        open_engine(engine, replace(given, images=images)) as opened,
        pytest.raises(Diverged, match="client 2, round 7") as error,
    ):
        opened.run(jobs(given), 6)
    assert (error.value.client, error.value.round) == (2, 7)


@pytest.mark.parametrize("engine", ["plain", "stacked", pytest.param("sidebyside", marks=FORKS)])
def test_progress_hears_of_every_client(engine: str) -> None:
    given, heard = work(MLP), []
    with open_engine(engine, given, heard.append) as opened:
        updates = opened.run(jobs(given), 0)
    assert sorted(update.job.client for update in heard) == list(range(5))
    assert {id(update) for update in heard} == {id(update) for update in updates}


def test_auto_is_an_engine_and_a_missing_gpu_is_said() -> None:
    assert chosen(work(MLP)) in ENGINES.names
    with pytest.raises(fedopt.InputError, match="one of auto"):
        open_engine("fast", work(MLP))
    if not torch.cuda.is_available():
        with pytest.raises(fedopt.InputError, match="torch finds no GPU"):
            open_engine("auto", replace(work(MLP), device="cuda"))


def test_accuracy_and_loss_by_hand() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    state = {"1.weight": torch.eye(2)}
    images = torch.tensor([[[[2.0, 0.0]]], [[[0.0, 1.0]]], [[[3.0, 1.0]]]])
    labels = torch.tensor([0, 1, 1])
    accuracy, loss = evaluate(module, state, images, labels)
    assert accuracy == 2 / 3
    losses = np.log1p(np.exp([-2.0, -1.0, 2.0]))
    assert loss == pytest.approx(losses.mean(), rel=1e-6)
