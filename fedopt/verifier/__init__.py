"""The verifier: answers checked from the model's equations alone. It shares nothing with the solvers."""

from fedopt.verifier.report import About, Check, Outcome, Report
from fedopt.verifier.verify import verify, verify_schedule

__all__ = ["About", "Check", "Outcome", "Report", "verify", "verify_schedule"]
