"""Training with the allocation: federated learning on a clock that counts seconds and joules."""

from solvers.lookup import MissingExtra

try:
    from fedopt.training.algorithm import LocalSGD
    from fedopt.training.history import History, Row
    from fedopt.training.local import Diverged
    from fedopt.training.policies import Policy
    from fedopt.training.run import run
    from fedopt.training.state import TrainingState
    from fedopt.training.steps import Until
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("torch", "safetensors"):
        raise
    raise MissingExtra(f"training needs {error.name}: pip install 'fedopt[training]'", name=error.name) from error

__all__ = ["Diverged", "History", "LocalSGD", "Policy", "Row", "TrainingState", "Until", "run"]
