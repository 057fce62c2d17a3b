"""FedAvg by Flower's simulation engine, as its documentation has one write it; runs where flwr, ray and torch are.

    python flower_rounds.py JOB.npz ROUNDS CORES

JOB.npz, written by benchmarks/training.py: images, labels, split_K per client, the model's name, batch, rate. Prints
JSON: seconds of every round (the first starts the actors), and the final parameters' file. No part of fedopt is used.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import nn


def network(name: str) -> nn.Module:
    """The two models that are compared."""
    if name == "two_nn":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)
        )
    conv = functools.partial(nn.Conv2d, kernel_size=3, padding=1)
    return nn.Sequential(
        *(conv(1, 16), nn.ReLU(), conv(16, 32), nn.ReLU(), nn.MaxPool2d(2), conv(32, 32), nn.ReLU(), nn.MaxPool2d(2)),
        *(conv(32, 10), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


@functools.cache
def job(path: str) -> dict[str, np.ndarray]:
    """The job, read once a process."""
    with np.load(path) as content:
        return {name: content[name] for name in content.files}


client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """One client's epoch."""
    given = job(str(message.content["config"]["job"]))
    indices = given[f"split_{int(context.node_config['partition-id'])}"]
    images, labels = torch.from_numpy(given["images"][indices]), torch.from_numpy(given["labels"][indices])
    model = network(str(given["model"]))
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimiser = torch.optim.SGD(model.parameters(), lr=float(given["rate"]))
    batch, loss = int(given["batch"]), torch.zeros(())
    for chosen in torch.randperm(len(labels)).split(batch):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
        loss.backward()
        optimiser.step()
    metrics = MetricRecord({"loss": float(loss), "num-examples": len(labels)})
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


class Timed(FedAvg):
    """Flower's FedAvg, noting when each round is sent out and averaged."""

    def __init__(self, clients: int) -> None:
        super().__init__(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=clients)
        self.seconds: list[float] = []

    def configure_train(self, *arguments, **named):
        self.started = time.perf_counter()
        return super().configure_train(*arguments, **named)

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        assert not any(reply.has_error() for reply in replies), "a client failed"
        averaged = super().aggregate_train(server_round, replies)
        self.seconds.append(time.perf_counter() - self.started)
        return averaged


def main(path: str, rounds: int, cores: int) -> None:
    """Run the simulation; the server's answer goes to a file beside the job."""
    given = job(path)
    clients = sum(name.startswith("split_") for name in given)
    server_app, kept = ServerApp(), {}

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:
        names = [name for name in given if name.startswith("start:")]
        start = {name.removeprefix("start:"): torch.from_numpy(given[name]) for name in names}
        strategy = Timed(clients)
        result = strategy.start(
            grid=grid, initial_arrays=ArrayRecord(start), num_rounds=rounds, train_config=ConfigRecord({"job": path})
        )
        kept["seconds"] = strategy.seconds
        np.savez(path + ".out.npz", **{n: v.numpy() for n, v in result.arrays.to_torch_state_dict().items()})

    resources = {"init_args": {"num_cpus": cores}, "client_resources": {"num_cpus": 1}}  # an actor for each core
    run_simulation(server_app, client_app, clients, backend_config=resources)
    print(json.dumps({"seconds": kept["seconds"], "parameters": path + ".out.npz"}))


if __name__ == "__main__":
    import flower_rounds  # by name, as ray's processes find it: of __main__ they would make a copy for every client

    flower_rounds.main(os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
