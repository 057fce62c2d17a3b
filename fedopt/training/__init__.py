"""Training with the allocation: federated learning on a clock that counts seconds and joules."""
