"""Why the engines are as they are: stacks of small networks, steps written out, freed memory kept.

One thread throughout. Every method does the same steps, so times divide. E1: a round of 64 small clients by "plain"
over "stacked". E2: rounds of FedAvg's 2NN by autograd and torch.optim.SGD over steps that are written out. E3: steps of
the paper's CNN in a fresh process that gives memory back as glibc does, over one that keeps it as "sidebyside" does.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run
from benchmarks.pictures import figure, goals
from benchmarks.training import SHAPE, Case, plain_round
from fedopt.training.algorithm import LocalSGD
from fedopt.training.algorithms.fedavg import FedAvg
from fedopt.training.engines import Work, open_engine
from fedopt.training.engines.sidebyside import keep_freed_memory, possible
from fedopt.training.engines.work import repeatable
from fedopt.training.local import descend, scratch
from fedopt.training.models import build

NAME = "engines"
LAYERS = ((64, 32, 10), (64, 64, 10), (64, 200, 200, 10), (784, 32, 10), (784, 200, 200, 10))
CLIENTS, SAMPLES = 64, 60
STEPS = 50
PAIRS = {
    "E1": ("plain", "stacked"),
    "E2": ("torch.optim.SGD", "written out"),
    "E3": ("memory given back", "memory kept"),
}


def measure(quick: bool) -> Iterator[Row]:
    """Rounds in turn, the first to warm up."""
    rounds = 3 if quick else 6
    for layers in LAYERS[:2] if quick else LAYERS:
        yield from _stacks(layers, rounds)
    yield from _written_out(rounds)
    if possible():
        yield from _memory(rounds)


def _stacks(layers: tuple[int, ...], rounds: int) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    parts: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(layers):
        parts += [nn.Linear(inputs, outputs), nn.ReLU()]
    (kind,) = FedAvg().kinds(nn.Sequential(*parts[:-1]), layers[:1])
    work = Work(
        kinds=(kind,),
        images=torch.from_numpy(rng.normal(size=(CLIENTS * SAMPLES, layers[0])).astype(np.float32)),
        labels=torch.from_numpy(rng.integers(layers[-1], size=CLIENTS * SAMPLES)),
        split=np.split(rng.permutation(CLIENTS * SAMPLES), CLIENTS),
        local=LocalSGD(epochs=1, batch=10, rate=0.05),
        seed=2,
    )
    algorithm, everybody = FedAvg(), np.zeros(CLIENTS, dtype=np.int64)
    jobs = algorithm.jobs(algorithm.init(kind.module), everybody)
    with open_engine("plain", work) as plain, open_engine("stacked", work) as stacked:
        calls = {"plain": lambda at: plain.run(jobs, at), "stacked": lambda at: stacked.run(jobs, at)}
        yield from _in_turn("-".join(map(str, layers)), CLIENTS, calls, rounds)


def _written_out(rounds: int) -> Iterator[Row]:
    case = Case("two_nn", 4, 300)
    model, work, _, _ = case.build()
    algorithm = FedAvg()
    jobs = algorithm.jobs(algorithm.init(model), np.zeros(case.clients, dtype=np.int64))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    with open_engine("plain", work) as plain:
        calls = {
            "torch.optim.SGD": lambda at: plain_round(model, work, start, at),
            "written out": lambda at: plain.run(jobs, at),
        }
        yield from _in_turn(case.label, case.clients, calls, rounds)


def _memory(rounds: int) -> Iterator[Row]:
    """In processes of their own that have freed nothing large: what malloc keeps depends on what it has seen."""
    fresh, ends = multiprocessing.get_context("spawn"), {}
    for method in PAIRS["E3"]:
        ends[method], theirs = fresh.Pipe()
        fresh.Process(target=_serve, args=(method == "memory kept", theirs), daemon=True).start()

    def ask(method: str) -> Callable[[int], Any]:
        return lambda at: (ends[method].send(at), ends[method].recv())

    yield from _in_turn(f"paper_cnn, {STEPS} steps", 1, {method: ask(method) for method in ends}, rounds)


def _serve(keeps: bool, pipe: Connection) -> None:
    if keeps:
        keep_freed_memory()
    x, y = torch.rand(10, *SHAPE), torch.arange(10)
    network = scratch(build("paper_cnn", SHAPE, 10, seed=0))
    parameters = list(network.parameters())
    with repeatable(), contextlib.suppress(EOFError):
        while True:
            pipe.recv()
            for _ in range(STEPS):
                descend(network, parameters, x, y, 0.01)
            pipe.send(None)


def _in_turn(instance: str, clients: int, calls: dict[str, Callable[[int], Any]], rounds: int) -> Iterator[Row]:
    with repeatable():
        for at in range(rounds):
            for method, call in calls.items():
                started = time.perf_counter()
                call(at)
                spent = time.perf_counter() - started
                if at:
                    yield Row(
                        benchmark=NAME,
                        instance=instance,
                        clients=clients,
                        method=method,
                        repeat=at,
                        solve_seconds=spent,
                    )


def compare(rows: list[Row]) -> list[Ratio]:
    """The slower of each pair over the faster."""
    ratios = []
    for goal, (slow, fast) in PAIRS.items():
        for instance in dict.fromkeys(row.instance for row in rows if row.method == fast):
            here = [row for row in rows if row.instance == instance]
            top, bottom = (median(row for row in here if row.method == method) for method in (slow, fast))
            what, value = f"{slow} over {fast}, {instance}", quotient(top, bottom)
            ratios.append(Ratio(goal=goal, what=what, value=value, must=NAN, aim=NAN, top=top, bottom=bottom))
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """The ratios."""
    made, (axes,) = figure(1, "A round by the slower way over the faster")
    made.set_size_inches(13.0, 4.8)
    goals(axes, ratios, [ratio.what.replace(" over ", "\nover ").replace(", ", "\n", 1) for ratio in ratios])
    axes.set_ylabel("ratio of times")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
