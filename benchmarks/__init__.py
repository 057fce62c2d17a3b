"""Benchmarks: one command each, ``python -m benchmarks.<name>``; all of them, ``python -m benchmarks``."""
