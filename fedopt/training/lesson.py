"""What a scenario's table ``training`` stands for: data, model, algorithm and split by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from fedopt.checks import InputError, choice, number, whole
from fedopt.clients import Clients
from fedopt.scenario import Scenario, read_scenario
from fedopt.submodels import SubModel
from fedopt.training import splits
from fedopt.training.algorithm import Algorithm, LocalSGD
from fedopt.training.algorithms import ALGORITHMS
from fedopt.training.data import Dataset, digits, mnist
from fedopt.training.models import MODELS, build
from fedopt.training.splits import Split

DEFAULTS: Mapping[str, Any] = {
    "algorithm": "mfl",
    "model": "paper_cnn",
    "data": "digits",
    "split": "iid",
    "policy": "allocated",
    "engine": "auto",
    "device": "cpu",
    "rounds": 30,
    "seed": 0,
    "evaluate_every": 1,
    "epochs": 1,
    "batch": 10,
    "rate": 0.05,
    "decay": 0.996,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What is trained, on what, for how long: everything but the fleet."""

    algorithm: Algorithm
    model: nn.Module
    data: Dataset
    deal: Callable[[Clients], Split]
    policy: str
    fading: str | None
    engine: str
    device: str
    rounds: int
    seed: int
    evaluate_every: int

    def footprints(self) -> tuple[SubModel, ...]:
        """The sub-models that the solver is to price."""
        return tuple(kind.footprint for kind in self.algorithm.kinds(self.model, self.data.shape))

    def split(self, clients: Clients) -> Split:
        """The training samples dealt out to a fleet. Raises InputError naming the key."""
        try:
            return self.deal(clients)
        except InputError as error:
            raise InputError(f"split: {error.field}", error.expected, error.found, error.client) from None


def read_lesson(
    path: str | PathLike[str], options: Mapping[str, Any], *, clients: Clients | None = None
) -> tuple[Scenario, Lesson]:
    """A scenario and what it trains; ``options`` win over its table ``training``.

    A file without sub-models gets the algorithm's own. Raises InputError, MissingExtra, OSError.
    """
    built: list[Lesson] = []

    def footprints(table: Mapping[str, Any]) -> tuple[SubModel, ...]:
        built.append(lesson_of({**DEFAULTS, **table, **options}, Path(path).parent, options.get("data")))
        return built[0].footprints()

    scenario = read_scenario(path, clients=clients, footprints=footprints)
    if not built:  # the file has sub-models: those that the solver knows have to be those that are trained
        footprints(scenario.training)
    return scenario, built[0]


def lesson_of(table: Mapping[str, Any], folder: Path, anywhere: str | None = None) -> Lesson:
    """A lesson from the keys of DEFAULTS and ``fading``.

    ``folder`` : where a data folder is looked for, which stays inside it; ``anywhere`` is one that may lie elsewhere.
    Raises InputError naming the key, MissingExtra, OSError.
    """
    local = LocalSGD(
        epochs=whole("epochs", table["epochs"], least=1),
        batch=whole("batch", table["batch"], least=1),
        rate=number("rate", table["rate"]),
        decay=number("decay", table["decay"]),
    )
    seed, data = whole("seed", table["seed"]), _data(table["data"], folder, anywhere)
    make: Any = ALGORITHMS.get(choice("algorithm", table["algorithm"], ALGORITHMS.names))
    name = choice("model", table["model"].replace("-", "_"), tuple(MODELS))
    return Lesson(
        algorithm=make(local=local),
        model=build(name, data.shape, data.classes, seed=seed),
        data=data,
        deal=_split(table["split"], data, seed),
        policy=table["policy"],
        fading=table.get("fading"),
        engine=table["engine"],
        device=table["device"],
        rounds=whole("rounds", table["rounds"], least=1),
        seed=seed,
        evaluate_every=whole("evaluate_every", table["evaluate_every"], least=1),
    )


def _data(name: str, folder: Path, anywhere: str | None) -> Dataset:
    """digits, mnist (downloaded where it is not yet), or a folder with the four files of MNIST's kind."""
    if name == "digits":
        return digits()
    if name == "mnist":
        return mnist()
    if "\0" in name:
        raise InputError("data", "digits, mnist or a folder, without NUL characters", repr(name)[:80])
    place = Path(name) if name == anywhere else folder / name
    if name != anywhere and not place.resolve().is_relative_to(folder.resolve()):
        raise InputError("data", "digits, mnist or a folder inside the scenario's (elsewhere: --data)", repr(name)[:80])
    if not place.is_dir():
        raise InputError("data", "digits, mnist or a folder with MNIST's four files", repr(name)[:80])
    return mnist(place)


def _split(text: str, data: Dataset, seed: int) -> Callable[[Clients], Split]:
    """iid, sized (by the fleet's samples), shards:EACH or dirichlet:ALPHA."""
    name, _, argument = text.partition(":")
    labels = data.train.labels.numpy()
    if name in ("iid", "sized") and not argument:
        if name == "iid":
            return lambda clients: splits.iid(labels, len(clients), seed=seed)
        return lambda clients: splits.sized(labels, clients.samples, seed=seed)
    if name == "shards" and argument.isdecimal() and len(argument) < 10:
        return lambda clients: splits.shards(labels, len(clients), each=int(argument), seed=seed)
    if name == "dirichlet":
        try:
            alpha = float(argument)
        except ValueError:
            alpha = 0.0
        if alpha > 0.0:
            return lambda clients: splits.dirichlet(labels, len(clients), alpha=alpha, seed=seed)
    raise InputError("split", "iid, sized, shards:5 or dirichlet:0.5", repr(text)[:80])
