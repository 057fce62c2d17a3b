"""The mathematics of fedopt, on arrays: rows, columns, prices and budgets."""

from solvers import sources as sources
