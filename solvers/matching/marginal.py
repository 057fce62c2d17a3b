"""Level 1 by marginal energy: the largest types go where e(large) - e(small) is least, at the duration found so far.

Starts from the sorted matching and keeps what is best, so it is never longer than that. A heuristic.
"""

from __future__ import annotations

from solvers.matching.ordered import search_ordered
from solvers.matching.plain import search_plain
from solvers.matching.task import Searched, Task


def search(task: Task) -> Searched:
    """Solve every partition in this order."""
    run = search_ordered if task.compiled else search_plain
    return run(task, task.menu.order[None, :], marginal=True)
