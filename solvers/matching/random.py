"""Level 1 without thought, seeded: every partition gets an order of its own. The baseline any rule has to beat."""

from __future__ import annotations

import numpy as np

from solvers.matching.ordered import search_ordered
from solvers.matching.plain import search_plain
from solvers.matching.task import Searched, Task


def search(task: Task) -> Searched:
    """Solve every partition with a random matching; the same seed gives the same matchings."""
    generator = np.random.default_rng(task.seed)
    orders = np.stack([generator.permutation(len(task.menu)) for _ in range(task.counts.shape[0])])
    run = search_ordered if task.compiled else search_plain
    return run(task, orders, marginal=False)
