"""Level 1 as the paper has it: sub-models from large to small to rows from good to bad channel.

Exact where rows differ in channel alone (section 6 of the model); far from it where their computing differs too.
"""

from __future__ import annotations

from solvers.matching.coarse import search_coarse
from solvers.matching.lookers import SortedMatchings
from solvers.matching.sandwich import search_sandwich
from solvers.matching.task import Searched, Task
from solvers.matching.thrifty import search_thrifty


def search(task: Task) -> Searched:
    """The best of the partitions in this order, proved to be the best of them."""
    if not task.counts.size:
        return (search_thrifty if task.thrifty else search_coarse)(task, SortedMatchings(task, task.menu.order))
    return search_sandwich(task, task.menu.order)
