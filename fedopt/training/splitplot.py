"""The picture of a split: who holds how many samples of which class. Needs matplotlib (extra ``plots``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedopt.plots import figure_type
from fedopt.training.splits import Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_split(split: Split, labels: Any, classes: int | None = None) -> Figure:
    """A column per client: how many samples it holds above, of which classes below, the darker the more.

    labels : of the training set, (n,). Raises InputError for other labels, MissingExtra without matplotlib.
    """
    figure_class = figure_type()
    table = split.histogram(labels, classes)
    clients = np.arange(len(split))
    figure: Figure = figure_class(figsize=(11.0, 1.8 + 0.28 * table.shape[1]), layout="constrained")
    sizes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    sizes.bar(clients, split.sizes, width=0.9, color="#0072B2")
    sizes.set_ylabel("samples")
    sizes.spines[["top", "right"]].set_visible(False)
    picture = counts.imshow(table.T, aspect="auto", cmap="Blues", vmin=0, interpolation="nearest")
    counts.set_xlabel("client")
    counts.set_ylabel("class")
    if table.shape[1] <= 20:
        counts.set_yticks(range(table.shape[1]))
    figure.colorbar(picture, ax=counts, label="samples of the class")
    rest = f", {split.left_out:,} of {split.samples:,} samples left out" if split.left_out else ""
    sizes.set_title(f"{len(split)} clients: {split.name}{rest}", fontsize=12)
    return figure
