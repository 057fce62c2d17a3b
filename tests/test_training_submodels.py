"""Algorithms that train sub-models: MFL, HeteroFL's nested ones, FedRolex's rolling ones; by invariants and by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from fedopt.checks import InputError
from fedopt.submodels import all_partitions

pytest.importorskip("torch")
import torch
from torch import Tensor, nn

from fedopt.training.algorithm import Job, LocalSGD, Server, Update
from fedopt.training.algorithms.fedavg import FedAvg
from fedopt.training.algorithms.mfl import MFL, PAPER
from fedopt.training.algorithms.nested import Nested
from fedopt.training.algorithms.rolling import Rolling
from fedopt.training.average import snapshot
from fedopt.training.chain import follow
from fedopt.training.cutting import Window, every_combination, least_cover
from fedopt.training.models import build

SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads only wait for each other on tensors this small."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


def model(name: str = "paper_cnn", seed: int = 1) -> nn.Module:
    return build(name, SHAPE, 10, seed=seed)


def trained(jobs: Sequence[Job], change: Callable[[Job, str, Tensor], Tensor], samples: Any = None) -> list[Update]:
    """What the clients send back when ``change`` is what training does; 100 + client samples each by default."""
    return [
        Update(
            job=job,
            parameters={name: change(job, name, value) for name, value in job.parameters.items()},
            samples=100 + job.client if samples is None else samples[job.client],
            loss=0.0,
        )
        for job in jobs
    ]


def noisy(job: Job, name: str, value: Tensor) -> Tensor:
    source = torch.Generator().manual_seed(1000 * job.client + sum(map(ord, name)))
    return value + 0.01 * torch.randn(value.shape, generator=source)


@pytest.mark.parametrize("options", [{}, {"covers": "least"}, {"average": "entries"}])
@pytest.mark.parametrize("name", ["paper_cnn", "fedavg_cnn"])
def test_everybody_on_the_whole_model_is_fedavg_to_the_bit(name: str, options: dict[str, str]) -> None:
    algorithm = MFL(**options)  # type: ignore[arg-type]
    server = algorithm.init(model(name))
    fedavg = FedAvg()
    theirs = fedavg.init(model(name))
    for turn in range(3):
        everybody = np.zeros(6, dtype=np.int64)
        jobs, plain = algorithm.jobs(server, everybody), theirs.parameters
        assert [job.client for job in jobs] == list(range(6))
        assert all(torch.equal(jobs[2].parameters[entry], plain[entry]) for entry in plain)
        server = algorithm.apply(server, trained(jobs, noisy))
        theirs = fedavg.apply(theirs, trained(fedavg.jobs(theirs, everybody), noisy))
        assert all(torch.equal(server.parameters[entry], theirs.parameters[entry]) for entry in plain)
        assert server.round == theirs.round == turn + 1


ALGORITHMS = [MFL(), MFL(covers="least"), MFL(average="entries"), Nested(), Rolling()]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: f"{a.name}-{getattr(a, 'covers', '')}")
def test_unchanged_sub_models_rebuild_the_model_and_old_states_stay(algorithm: Any) -> None:
    """Also with clients that sit out, replicas that are short, and updates that do not come back."""
    rng = np.random.default_rng(1)
    server = algorithm.init(model())
    before = {name: value.clone() for name, value in server.parameters.items()}
    for _ in range(20):  # rolling windows come around
        assignment = rng.integers(-1, 4, size=41)
        jobs = algorithm.jobs(server, assignment)
        assert [job.client for job in jobs] == np.flatnonzero(assignment >= 0).tolist()
        assert [job.kind for job in jobs] == assignment[assignment >= 0].tolist()
        back = [job for job in jobs if rng.random() < 0.8]
        server = algorithm.apply(server, trained(back, lambda job, name, value: value.clone()))
        assert all(torch.equal(server.parameters[name], before[name]) for name in before)
        algorithm.apply(server, trained(back, noisy))
        assert all(torch.equal(server.parameters[name], before[name]) for name in before)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: f"{a.name}-{getattr(a, 'covers', '')}")
def test_jobs_fit_the_modules_and_extra_is_json(algorithm: Any) -> None:
    network = model()
    kinds = algorithm.kinds(network, SHAPE)
    flops = [kind.footprint.flops for kind in kinds]
    assert flops == sorted(flops, reverse=True)
    server = algorithm.init(network)
    again = Server(round=5, parameters=server.parameters, extra=json.loads(json.dumps(server.extra)))
    for job in algorithm.jobs(again, np.arange(24) % len(kinds)):
        kinds[job.kind].module.load_state_dict(job.parameters)  # raises where a shape does not fit
    assert algorithm.jobs(server, np.full(3, -1)) == ()


@pytest.mark.parametrize("covers", ["every", "least"])
@pytest.mark.parametrize("kind", range(4))
def test_after_a_full_rotation_every_client_has_trained_every_block(covers: str, kind: int) -> None:
    """Each client adds its own power of two to what it trains, so that a number shows who trained it in the round."""
    algorithm = MFL(covers=covers)
    network = model()
    cover = algorithm.kinds(network, SHAPE)[kind].footprint.cover
    server = algorithm.init(network)
    zero = {name: torch.zeros_like(value) for name, value in server.parameters.items()}
    ever = [{name: torch.zeros(value.shape, dtype=torch.bool) for name, value in zero.items()} for _ in range(cover)]
    for turn in range(cover):
        now = Server(round=turn, parameters=zero, extra=server.extra)
        jobs = algorithm.jobs(now, np.full(cover, kind))
        for name in zero:
            count = torch.zeros_like(zero[name])
            for job in jobs:
                for target, _ in job.place.kept[name]:
                    count[target] += 1
                    ever[job.client][name][target] = True
            assert count.min() >= 1, "together the sub-models of a replica are the model"
    assert all(seen.all() for client in ever for seen in client.values())


def test_covers_and_partitions_are_those_of_the_formulation() -> None:
    """Section 8: L, M, S need 1, 2, 4 either way, T 8 or 4; 64 clients have 969 and 1,785 partitions (section 6)."""
    for covers, expected, count in (("every", (1, 2, 4, 8), 969), ("least", (1, 2, 4, 4), 1785)):
        footprints = [kind.footprint for kind in MFL(covers=covers).kinds(model(), SHAPE)]
        assert [footprint.name for footprint in footprints] == ["L", "M", "S", "T"]
        assert tuple(footprint.cover for footprint in footprints) == expected
        assert len(all_partitions(64, footprints)) == count


def line() -> nn.Module:
    """4 filters and one output, all weights 1: small enough to aggregate by hand."""
    network = nn.Sequential(nn.Linear(1, 4, bias=False), nn.Linear(4, 1, bias=False))
    for weights in network.parameters():
        nn.init.ones_(weights)
    return network


def added(*amounts: float) -> Callable[[Job, str, Tensor], Tensor]:
    """Training that adds ``amounts[client]`` to every number."""
    return lambda job, name, value: value + amounts[job.client]


def hand(
    network: Any, algorithm: Any, assignment: list[int], turn: int, *amounts: float, lost: Any = ()
) -> list[float]:
    """The four weights of ``line`` after a round, minus 1; samples of client k are 10 (k + 1)."""
    server = algorithm.init(network)
    server = Server(round=turn, parameters=server.parameters, extra=server.extra)
    jobs = [job for job in algorithm.jobs(server, np.array(assignment)) if job.client not in lost]
    samples = [10 * (k + 1) for k in range(len(assignment))]
    after = algorithm.apply(server, trained(jobs, added(*amounts), samples))
    result = (after.parameters["0.weight"].ravel() - 1.0).tolist()
    np.testing.assert_allclose(
        after.parameters["1.weight"].ravel() - 1.0, result, atol=1e-6
    )  # the inputs that read them
    return result


@pytest.mark.parametrize(
    ("average", "expected"),
    [  # client 0 (10 samples) whole; 1 and 2 (20, 30) halves of one replica of weight 50
        ("replicas", [(10 * 1 + 50 * 2) / 60] * 2 + [(10 * 1 + 50 * 4) / 60] * 2),
        ("entries", [(10 * 1 + 20 * 2) / 30] * 2 + [(10 * 1 + 30 * 4) / 40] * 2),
    ],
)
def test_mfl_by_hand(average: str, expected: list[float]) -> None:
    algorithm = MFL(types={"whole": (1,), "half": (2,)}, average=average)
    found = hand(line(), algorithm, [0, 1, 1], 0, 1.0, 2.0, 4.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    swapped = hand(line(), algorithm, [0, 1, 1], 1, 1.0, 4.0, 2.0)  # blocks have rotated
    weights = [(10 + 50 * 2) / 60] * 2 + [(10 + 50 * 4) / 60] * 2
    if average == "entries":
        weights = [(10 + 30 * 2) / 40] * 2 + [(10 + 20 * 4) / 30] * 2
    np.testing.assert_allclose(swapped, weights, rtol=1e-6)


def test_a_lost_update_leaves_its_blocks_to_the_other_replicas() -> None:
    algorithm = MFL(types={"whole": (1,), "half": (2,)})
    found = hand(line(), algorithm, [0, 1, 1], 0, 1.0, 2.0, 4.0, lost={2})  # the replica weighs what came back, 20
    np.testing.assert_allclose(found, [(10 + 20 * 2) / 30] * 2 + [1.0] * 2, rtol=1e-6)
    found = hand(line(), algorithm, [-1, 1, 1], 0, 1.0, 2.0, 4.0, lost={1})  # nobody else has the first half
    np.testing.assert_allclose(found, [0.0, 0.0, 4.0, 4.0], rtol=1e-6)
    assert hand(line(), algorithm, [0, 1, 1], 0, 1.0, 2.0, 4.0, lost={0, 1, 2}) == [0.0] * 4


def test_replicas_are_the_clients_of_a_type_in_their_order() -> None:
    """Five halves: clients 0 and 2, 3 and 5, and a short replica of client 6 alone."""
    algorithm = MFL(types={"whole": (1,), "half": (2,)})
    server = algorithm.init(line())
    jobs = algorithm.jobs(server, np.array([1, 0, 1, 1, -1, 1, 1]))
    assert [(job.client, job.place.replica) for job in jobs if job.kind == 1] == [
        (0, 0),
        (2, 0),
        (3, 1),
        (5, 1),
        (6, 2),
    ]


def test_a_block_that_several_train_is_their_mean() -> None:
    """Two layers of 2 filters in 2 x 2 combinations: each filter of a layer is trained by two of the four clients."""
    network = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 2), nn.Linear(2, 1))
    algorithm = MFL(types={"quarter": (2, 2)})
    server = algorithm.init(network)
    after = algorithm.apply(server, trained(algorithm.jobs(server, np.zeros(4, int)), added(1.0, 2.0, 4.0, 8.0)))
    change = {name: after.parameters[name] - value for name, value in server.parameters.items()}
    expected = {
        "0.weight": [[1.5], [6.0]],  # clients 0, 1 have filter 0 of the first layer, 2, 3 filter 1
        "0.bias": [1.5, 6.0],
        "1.weight": [[1.0, 4.0], [2.0, 8.0]],  # every block has one client
        "1.bias": [2.5, 5.0],
        "2.weight": [[2.5, 5.0]],
        "2.bias": [3.75],
    }
    for name, numbers in expected.items():
        np.testing.assert_allclose(change[name], numbers, atol=1e-6)


def test_heterofl_by_hand() -> None:
    """Its equations: filters 2 and 3 are averaged over who has them; equal samples would be its plain mean."""
    found = hand(line(), Nested(widths=(1.0, 0.5, 0.25)), [0, 1, 2], 0, 1.0, 2.0, 4.0)
    np.testing.assert_allclose(found, [(10 + 40 + 120) / 60, (10 + 40) / 30, 1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(hand(line(), Nested(), [1, 1], 9, 3.0, 3.0), [3.0, 3.0, 0.0, 0.0], rtol=1e-6)


def test_fedrolex_by_hand() -> None:
    """Round t: half a layer is filters t and t + 1, a quarter is filter t, all modulo 4."""
    algorithm = Rolling(widths=(1.0, 0.5, 0.25))
    whole, half, quarter = 10 * 1.0, 20 * 2.0, 30 * 4.0
    for turn in range(9):
        expected = [whole / 10] * 4
        both, one = turn % 4, (turn + 1) % 4
        expected[both] = (whole + half + quarter) / 60
        expected[one] = (whole + half) / 30
        np.testing.assert_allclose(hand(line(), algorithm, [0, 1, 2], turn, 1.0, 2.0, 4.0), expected, rtol=1e-6)


def test_widths_become_filters() -> None:
    """HeteroFL rounds up, FedRolex down, both keep at least one; 16, 32, 32 filters by section 8."""
    chain = follow(model())
    sizes = {width: [w.size for w in Nested().windows(chain, width, 3)] for width in (1.0, 0.3, 0.01)}
    assert sizes == {1.0: [16, 32, 32], 0.3: [5, 10, 10], 0.01: [1, 1, 1]}
    assert Rolling().windows(chain, 0.3, 20) == (Window(4, 4), Window(20, 9), Window(20, 9))
    assert Rolling().windows(chain, 1.0, 20) == (Window(0, 16), Window(0, 32), Window(0, 32))
    covers = [kind.footprint.cover for kind in Nested(widths=(1, 0.5, 0.3)).kinds(model(), SHAPE)]
    assert covers == [1, 2, 4]
    norms = nn.Sequential(nn.Conv2d(1, 12, 3), nn.GroupNorm(4, 12), nn.Conv2d(12, 2, 3))
    assert Rolling().windows(follow(norms), 0.5, 3) == (Window(9, 6),)  # two groups of three, from the fourth on
    assert Nested().windows(follow(norms), 0.3, 3) == (Window(0, 6),)


def test_a_model_with_batch_norm_goes_round() -> None:
    for algorithm in (MFL(types={"whole": (1,), "quarter": (4,)}), Nested(), Rolling()):
        network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        kinds = algorithm.kinds(network, (3,))
        server = algorithm.init(network)
        for _ in range(3):
            updates = []
            for job in algorithm.jobs(server, np.array([0, 1, 1, 1, 1])):
                client = kinds[job.kind].module
                client.load_state_dict(job.parameters)
                client.train()(torch.randn(6, 3, generator=torch.Generator().manual_seed(job.client))).sum().backward()
                updates.append(Update(job=job, parameters=snapshot(client), samples=6, loss=0.0))
            server = algorithm.apply(server, updates)
        assert server.parameters["1.num_batches_tracked"] == 3
        assert torch.isfinite(server.parameters["1.running_var"]).all()
        network.load_state_dict(server.parameters)


def test_training_sub_models_lowers_the_loss() -> None:
    """Three small rounds of real gradients on digits, by the plainest loop: every algorithm's loss falls."""
    pytest.importorskip("sklearn")
    from fedopt.training.data import digits

    samples = digits().train
    for algorithm in (MFL(), Nested(widths=(1, 0.5, 0.25, 0.125)), Rolling(widths=(1, 0.5, 0.25, 0.125))):
        network = model()
        kinds, server, losses = algorithm.kinds(network, SHAPE), algorithm.init(network), []
        for _ in range(3):
            updates = []
            for job in algorithm.jobs(server, np.repeat([0, 1, 2, 3], [1, 2, 4, 8])):
                client = kinds[job.kind].module
                client.load_state_dict(job.parameters)
                for step in range(4):
                    rows = slice(90 * job.client + 10 * step, 90 * job.client + 10 * step + 10)
                    client.zero_grad()
                    nn.functional.cross_entropy(client(samples.images[rows]), samples.labels[rows]).backward()
                    with torch.no_grad():
                        for weights in client.parameters():
                            weights.sub_(0.05 * weights.grad)
                updates.append(Update(job=job, parameters=snapshot(client), samples=40, loss=0.0))
            server = algorithm.apply(server, updates)
            network.load_state_dict(server.parameters)
            with torch.no_grad():
                losses.append(float(nn.functional.cross_entropy(network(samples.images), samples.labels)))
        assert losses[-1] < losses[0], algorithm.name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MFL(covers="some"), "MFL.covers: expected one of every, least"),
        (lambda: MFL(average="none"), "MFL.average"),
        (lambda: MFL(types={}), "MFL.types: expected one type or more"),
        (lambda: MFL(types=[(1, 1, 1)]), "MFL.types: expected splits by the name"),
        (lambda: MFL().init(model("two_nn")), r"MFL.types\['L'\]: expected 2 splits, for the layers 1, 3, found 3"),
        (lambda: MFL(types={"T": (2, 2, 2), "L": (1, 1, 1)}).kinds(model(), SHAPE), "from the largest to the smallest"),
        (lambda: Nested(widths=()), "Nested.widths"),
        (lambda: Nested(widths=(1.5,)), "Nested.widths: expected falling numbers"),
        (lambda: Rolling(widths=(0.5, 0.5)), "Rolling.widths: expected falling"),
        (lambda: Rolling(widths=(1.0, 0.0)), r"Rolling.widths\[1\]"),
    ],
)
def test_options_that_are_none_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_part_vectors_by_hand() -> None:
    """Section 8's four of T: 000, 011, 101, 110 or any others with all pairs; and all combinations in order."""
    assert every_combination((2, 1, 2)) == ((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1))
    four = least_cover(PAPER["T"])
    assert len(four) == 4
    for layer in (0, 1):
        assert {parts[layer : layer + 2] for parts in four} == set(itertools.product((0, 1), repeat=2))
    assert MFL(local=LocalSGD(rate=0.1)).local.rate == 0.1
