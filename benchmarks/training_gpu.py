"""Training many clients on a GPU: a plain torch loop there, and our engines on the CPU, over our engine on the GPU.

Equal work as in training.py: the same samples in the same order, so that all end with the same parameters but for
rounding. Where torch finds no GPU nothing is measured or written.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.common import NAN, Benchmark, Ratio, Row, median, quotient, run
from benchmarks.pictures import figure, goals
from benchmarks.training import APART, LEARNED, LOCAL, Case, distance, plain_round
from fedopt.training.algorithm import State
from fedopt.training.algorithms.fedavg import FedAvg
from fedopt.training.engines import Work, open_engine
from fedopt.training.evaluate import evaluate
from solvers.threads import thread_count

NAME = "training_gpu"
CASES = (Case("paper_cnn", 16, 300), Case("two_nn", 64, 300))
OURS = "ours, GPU"


class _Rounds(NamedTuple):
    """What a method took, and the parameters it ends with."""

    engine: str
    seconds: list[float]
    parameters: State


METHODS = {  # device and engine; the CPU's first, as torch's autograd does not survive a fork once it has used a GPU
    "ours, CPU": ("cpu", "auto"),
    OURS: ("cuda", "auto"),
    "one by one, GPU": ("cuda", "plain"),
    "plain loop, GPU": ("cuda", ""),
}


def measure(quick: bool) -> Iterator[Row]:
    """Every method's rounds of every case, the first to warm up."""
    cases = (Case("paper_cnn", 4, 120), Case("two_nn", 20, 60)) if quick else CASES
    found = [(case, method, _rounds(case, method, 5 if quick else 8)) for method in METHODS for case in cases]
    for case in cases:
        yield from _rows(case, {method: rounds for at, method, rounds in found if at == case})


def _rounds(case: Case, method: str, rounds: int) -> _Rounds:
    device, engine = METHODS[method]
    model, work, _, _ = case.build()
    print(f"{case.label}: {method}", file=sys.stderr)
    return _ours(model, replace(work, device=device), engine, rounds) if engine else _plain(model, work, rounds)


def _rows(case: Case, found: dict[str, _Rounds]) -> Iterator[Row]:
    model, _, images, labels = case.build()
    right = {method: evaluate(model, each.parameters, images, labels)[0] for method, each in found.items()}
    for method, each in found.items():
        good = min(right[method], right[OURS]) > LEARNED and abs(right[method] - right[OURS]) <= APART
        where = torch.cuda.get_device_name() if METHODS[method][0] == "cuda" else "no GPU"
        for round, spent in enumerate(each.seconds[1:], 1):
            yield Row(
                benchmark=NAME, instance=case.label, clients=case.clients, method=method, repeat=round,
                settings=f"{each.engine}, {where}, accuracy {right[method]:.3f}", status="" if good else "unequal",
                solve_seconds=spent, error=distance(each.parameters, found[OURS].parameters),
                threads=thread_count() if each.engine == "sidebyside" else 1,
            )  # fmt: skip


def _ours(model: Any, work: Work, engine: str, rounds: int) -> _Rounds:
    algorithm, seconds = FedAvg(local=LOCAL), []
    server = algorithm.init(model)
    everybody = np.zeros(len(work.split), dtype=np.int64)
    with open_engine(engine, work) as opened:
        for round in range(rounds):
            started = time.perf_counter()
            server = algorithm.apply(server, opened.run(algorithm.jobs(server, everybody), round))
            seconds.append(time.perf_counter() - started)
        return _Rounds(opened.name, seconds, server.parameters)


def _plain(model: Any, work: Work, rounds: int) -> _Rounds:
    """A loop as one writes it first, everything on the GPU."""
    there, seconds = copy.deepcopy(model).cuda(), []
    moved = replace(work, images=work.images.cuda(), labels=work.labels.cuda())
    mean = {name: value.clone() for name, value in there.state_dict().items()}
    for round in range(rounds):
        started = time.perf_counter()
        mean = plain_round(there, moved, mean, round)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return _Rounds("torch.optim.SGD", seconds, {name: value.cpu() for name, value in mean.items()})


def compare(rows: list[Row]) -> list[Ratio]:
    """The others over ours."""
    ratios = []
    for instance in dict.fromkeys(row.instance for row in rows if row.good):
        here = [row for row in rows if row.instance == instance]
        ours = median(row for row in here if row.method == OURS)
        for method in dict.fromkeys(row.method for row in here if row.method != OURS):
            theirs = median(row for row in here if row.method == method)
            what = f"{method}, over ours, {instance}"
            value = quotient(theirs, ours)
            ratios.append(Ratio(goal="T3", what=what, value=value, must=NAN, aim=NAN, top=theirs, bottom=ours))
    return ratios


def draw(rows: list[Row], ratios: list[Ratio]) -> Any:
    """The ratios."""
    made, (axes,) = figure(1, "Training many clients on a GPU: other methods' time over ours")
    goals(axes, ratios, [ratio.what.replace(", over ours, ", "\n").replace(", ", "\n") for ratio in ratios])
    axes.set_ylabel("their time over ours")
    return made


BENCHMARK = Benchmark(name=NAME, about=__doc__.splitlines()[0], measure=measure, compare=compare, draw=draw)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK) if torch.cuda.is_available() else print("torch finds no GPU here"))
