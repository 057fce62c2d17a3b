"""Ways to simulate a round's clients, one per file, looked up by their literal name."""

from __future__ import annotations

from fedopt.training.engines.choose import ENGINES, chosen, open_engine
from fedopt.training.engines.work import Done, Engine, Work

__all__ = ["ENGINES", "Done", "Engine", "Work", "chosen", "open_engine"]
