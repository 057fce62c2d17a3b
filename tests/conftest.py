"""What every test shares: kernels are compiled at once, as compiled code is what they test."""

from solvers import firstcalls

firstcalls.PATIENCE = 0
