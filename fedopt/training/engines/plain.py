"""One client after another: the readable reference, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence

from fedopt.training.algorithm import Job, Update
from fedopt.training.engines.work import Done, Work, repeatable


class Plain:
    """Trains the jobs in their order, on one thread."""

    name = "plain"

    def __init__(self, work: Work, done: Done | None = None) -> None:
        self.work, self.done = work, done
        self.networks = work.scratch()

    def run(self, jobs: Sequence[Job], round: int) -> tuple[Update, ...]:
        """Train every job; the updates in the order of the jobs. Raises Diverged."""
        updates = []
        with repeatable(self.work.device):
            for job in jobs:
                updates.append(self.work.train(job, self.networks, round))
                if self.done is not None:
                    self.done(updates[-1])
        return tuple(updates)

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


ENGINE = Plain
