"""FedAvg's own table, as an experiment: rounds to a target by hand, a row that stops and goes on to the same end."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import fedopt
from experiments import fedavg_table as table
from fedopt.training.data import digits

ROW = table.Row(name="row", model="two_nn", target=0.999, epochs=1, batch=10, rate=0.1, most=4)


def test_rounds_to_a_target_are_read_off_the_best_so_far() -> None:
    accuracies = [0.1, 0.5, 0.4, 0.9]
    assert table.rounds_to(0.5, accuracies) == 1.0
    assert table.rounds_to(0.3, accuracies) == pytest.approx(0.5)
    assert table.rounds_to(0.7, accuracies) == pytest.approx(2.5)  # from 0.5, the best before, not from 0.4
    assert table.rounds_to(0.1, accuracies) == 0.0
    assert math.isnan(table.rounds_to(0.95, accuracies))


def test_a_row_that_was_stopped_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir()
    halves.mkdir()
    data = digits()
    once = table.train(ROW, data, 10, 0.3, 1, whole)
    table.train(replace(ROW, most=2), data, 10, 0.3, 1, halves)
    with pytest.raises(fedopt.InputError, match=r"local.rate: expected 0\.2, found 0\.1"):
        table.train(replace(ROW, rate=0.2), data, 10, 0.3, 1, halves)
    again = table.train(ROW, data, 10, 0.3, 1, halves)
    accuracies = table.accuracies_of(once)
    assert len(accuracies) == 5
    assert table.accuracies_of(again) == accuracies
    assert accuracies[-1] > 0.5  # ten classes: it learns
    assert once.parameters is not None
    assert again.parameters is not None
    assert all(value.equal(again.parameters[name]) for name, value in once.parameters.items())
