"""Level 1 as the paper has it: sub-models from large to small to rows from good to bad channel.

Exact where rows differ in channel alone (section 6 of the model); far from it where their computing differs too.
"""

from __future__ import annotations

from solvers.matching.ordered import search_ordered
from solvers.matching.plain import search_plain
from solvers.matching.task import Searched, Task


def search(task: Task) -> Searched:
    """Solve every partition in this order."""
    run = search_ordered if task.compiled else search_plain
    return run(task, task.menu.order[None, :], marginal=False)
