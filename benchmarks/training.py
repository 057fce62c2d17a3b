"""Training many clients: a plain torch loop and Flower's simulation over our engine, and the share of the peak.

The plain loop is what one writes first: a module, torch.optim.SGD, slices of shuffled data, torch's own threads. It
takes the same samples in the same order as ours, so both end with the same parameters but for rounding. Flower (flwr
with ray) runs in an environment of its own: name its python with FEDOPT_FLOWER, else its rows say that it is missing.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.common import NAN, Benchmark, Ratio, Row, answered_by, median, quotient, run
from benchmarks.pictures import figure, goals
from fedopt.training.algorithm import LocalSGD
from fedopt.training.algorithms.fedavg import FedAvg
from fedopt.training.engines import Work, open_engine
from fedopt.training.evaluate import evaluate
from fedopt.training.footprint import forward_macs
from fedopt.training.local import order, rate
from fedopt.training.models import build
from solvers.threads import thread_count

NAME = "training"
SHAPE = (1, 28, 28)
LOCAL = LocalSGD(epochs=1, batch=10, rate=0.05)
MUST = {"paper_cnn": 1.5, "two_nn": 2.0}
FLOWER_MUST = {"two_nn": 8.0}  # the CNN's steps alone are half of the machine's peak: no engine is eight times as fast
LEARNED, APART = 0.5, 0.03  # the least final accuracy, and how far apart two may be, of 1,000 test samples
FLOWER = "FEDOPT_FLOWER"  # the python that has flwr[simulation] and torch


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A model, clients of equal size, and a test set, all drawn from a seed; and the rounds it takes to learn."""

    model: str
    clients: int
    samples: int
    rounds: int = 8

    @property
    def label(self) -> str:
        return f"{self.model}, {self.clients} x {self.samples}"

    def build(self) -> tuple[nn.Module, Work, torch.Tensor, torch.Tensor]:
        """Ten classes, waves of ten directions under noise; the model, the work of a run, and 1,000 test samples."""
        rng = np.random.default_rng(0)
        count = self.clients * self.samples
        angle, y, x = np.meshgrid(np.pi * np.arange(10) / 10, *(np.arange(side) for side in SHAPE[1:]), indexing="ij")
        pictures = np.sin(10.0 * np.pi / SHAPE[1] * (x * np.cos(angle) + y * np.sin(angle)))[:, None].astype(np.float32)
        labels = rng.integers(10, size=count + 1000)
        noise = rng.normal(size=(count + 1000, *SHAPE)).astype(np.float32)
        images = torch.from_numpy(pictures[labels] + noise)
        known = torch.from_numpy(labels)
        model = build(self.model, SHAPE, 10, seed=1)
        split = np.split(rng.permutation(count), self.clients)
        kinds = FedAvg().kinds(model, SHAPE)
        work = Work(kinds=kinds, images=images[:count], labels=known[:count], split=split, local=LOCAL, seed=2)
        return model, work, images[count:], known[count:]


def plain_round(model: nn.Module, work: Work, start: dict[str, Any], round: int) -> dict[str, Any]:
    """A round as one writes it first; the mean of the clients' parameters, who all have as many samples."""
    states = []
    for client, indices in enumerate(work.split):
        model.load_state_dict(start)
        optimiser = torch.optim.SGD(model.parameters(), lr=rate(work.local, round))
        images, labels = work.images[indices], work.labels[indices]
        (turn,) = order(len(labels), work.local, client, round, work.seed)
        images, labels = images[turn], labels[turn]
        for first in range(0, len(labels), 10):
            optimiser.zero_grad()
            loss = functional.cross_entropy(model(images[first : first + 10]), labels[first : first + 10])
            loss.backward()
            optimiser.step()
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in start}


def ours_and_plain(case: Case) -> Generator[Row, None, float]:
    """Rounds in turn, the first to warm up; returns our final accuracy.

    error : the distance of all the plain loop's final parameters from ours, relative.
    """
    model, work, images, labels = case.build()
    algorithm, theirs = FedAvg(local=LOCAL), copy.deepcopy(model)
    server = algorithm.init(model)
    everybody = np.zeros(case.clients, dtype=np.int64)
    mean, seconds = dict(server.parameters), []
    with open_engine("auto", work) as engine:
        for round in range(case.rounds):
            started = time.perf_counter()
            server = algorithm.apply(server, engine.run(algorithm.jobs(server, everybody), round))
            between = time.perf_counter()
            mean = plain_round(theirs, work, mean, round)
            seconds.append((between - started, time.perf_counter() - between))
    right = [evaluate(model, each, images, labels)[0] for each in (server.parameters, mean)]
    status = compared(*right)
    threads = (thread_count() if engine.name == "sidebyside" else 1, torch.get_num_threads())
    error = distance(mean, server.parameters)
    for round, spent in enumerate(seconds[1:], 1):
        for at, method in enumerate(("fedopt", "plain loop")):
            settings = f"{engine.name if at == 0 else 'torch.optim.SGD'}, accuracy {right[at]:.3f}"
            yield replace(row(case, method, settings, round, spent[at], error, threads[at]), status=status)
    return right[0]


def compared(one: float, other: float) -> str:
    """The status of two runs by their final accuracies: those that end apart, or have not learned, do not count."""
    return "" if min(one, other) > LEARNED and abs(one - other) <= APART else "unequal"


def distance(one: Any, other: Any) -> float:
    """Norm of the difference of two models over the norm of the second."""
    of = [torch.cat([state[name].double().ravel() for name in other]) for state in (one, other)]
    return float((of[0] - of[1]).norm() / of[1].norm())


def row(
    case: Case, method: str, settings: str, repeat: int, seconds: float, error: float = NAN, threads: int = 1
) -> Row:
    """A round's row."""
    return Row(
        benchmark=NAME, instance=case.label, clients=case.clients, method=method, settings=settings, repeat=repeat,
        solve_seconds=seconds, error=error, threads=threads,
    )  # fmt: skip


def flower(case: Case, ours: float) -> Iterator[Row]:
    """Flower's rounds of the same work, its actors started; a row without a time where it is not installed.

    ours : our final accuracy. The samples' order is Flower's own, so only the accuracies can be compared.
    """
    python = os.environ.get(FLOWER, "")
    failed = Row(benchmark=NAME, instance=case.label, clients=case.clients, method="Flower", status=f"no {FLOWER}")
    if not python:
        yield failed
        return
    model, work, images, labels = case.build()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.npz"
        start = {f"start:{name}": value.numpy() for name, value in model.state_dict().items()}
        split = {f"split_{client}": indices for client, indices in enumerate(work.split)}
        arrays: dict[str, Any] = {"images": work.images.numpy(), "labels": work.labels.numpy(), **start, **split}
        np.savez(path, model=case.model, batch=LOCAL.batch, rate=LOCAL.rate, **arrays)
        script = Path(__file__).with_name("flower_rounds.py")
        command, environment = (
            [python, str(script), str(path), str(case.rounds), str(thread_count())],
            os.environ | {"PYTHONPATH": str(script.parent)},
        )
        answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
        if answer.returncode:
            print(answer.stderr[-2000:], file=sys.stderr)
            yield replace(failed, status=f"exit {answer.returncode}")
            return
        found = json.loads(answer.stdout.splitlines()[-1])
        with np.load(found["parameters"]) as arrays:
            final = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    right = evaluate(model, final, images, labels)[0]
    for repeat, seconds in enumerate(found["seconds"]):
        if repeat:  # the first round starts ray's actors
            settings = f"ray, a core per client, accuracy {right:.3f}"
            each = row(case, "Flower", settings, repeat, seconds, threads=thread_count())
            yield replace(each, status=compared(ours, right))


def peak(repeats: int, when: str) -> Iterator[Row]:
    """Matrix products of 1,024 on all threads: what the machine can do."""
    a = torch.rand(1024, 1024)
    for repeat in range(repeats):
        started = time.perf_counter()
        for _ in range(10):
            a @ a
        seconds = (time.perf_counter() - started) / 10
        yield Row(
            benchmark=NAME, instance="1024", clients=1, method="matmul", settings=when, repeat=repeat,
            solve_seconds=seconds, threads=torch.get_num_threads(),
        )  # fmt: skip


def measure(quick: bool, cases: tuple[Case, ...] | None = None) -> Iterator[Row]:
    """Peak, then ours beside the plain loop, then Flower with small clients."""
    yield from peak(3 if quick else 10, "before")
    for case in cases or (QUICK if quick else LARGE):
        yield from ours_and_plain(case)
    for case in () if cases else SMALL[:1] if quick else SMALL:
        accuracy = yield from ours_and_plain(case)
        yield from flower(case, accuracy)
    yield from peak(3 if quick else 10, "after")


QUICK = (Case("paper_cnn", 4, 120), Case("two_nn", 20, 60))
LARGE = (Case("paper_cnn", 16, 300), Case("two_nn", 20, 600))
SMALL = (Case("two_nn", 100, 20), Case("paper_cnn", 64, 20, rounds=40))


def compare(rows: list[Row]) -> list[Ratio]:
    """The plain loop and Flower over ours, and our share of the peak."""
    ratios = []
    flops = 2.0 * 1024**3 / median((r for r in rows if r.method == "matmul"), lambda r: r.solve_seconds)
    for instance in dict.fromkeys(r.instance for r in rows if r.method == "fedopt"):
        model, _, size = instance.partition(", ")
        clients, _, samples = size.partition(" x ")
        here = [r for r in rows if r.instance == instance]
        ours = median(r for r in here if r.method == "fedopt")
        small = any(r.method == "Flower" for r in here)
        for method, must in (("plain loop", NAN if small else MUST[model]), ("Flower", FLOWER_MUST.get(model, NAN))):
            theirs = median(r for r in answered_by(here, "fedopt", method.split()[0]) if r.method == method)
            if method == "plain loop" or small:
                what = f"{method} over ours, {instance}"
                value = quotient(theirs, ours)
                ratios.append(Ratio(goal="T1", what=what, value=value, must=must, aim=must, top=theirs, bottom=ours))
        work = 6.0 * forward_macs(build(model, SHAPE, 10, seed=1), SHAPE) * int(clients) * int(samples)
        what = f"share of the matrix-multiply peak, {instance}"
        reached = quotient(work, ours)
        share = quotient(reached, flops)
        ratios.append(
            Ratio(goal="T2", what=what, value=share, must=NAN, aim=NAN, top=reached, bottom=flops, unit="FLOP/s")
        )
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """The ratios."""
    made, (axes,) = figure(1, "Training many clients: other engines' time over ours")
    shown = [ratio for ratio in ratios if ratio.goal == "T1"]
    labels = [ratio.what.replace(" over ours, ", "\n").replace(", ", "\n") for ratio in shown]
    goals(axes, shown, labels)
    axes.set_ylabel("their time over ours")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK))
