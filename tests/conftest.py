"""What every test shares: kernels are compiled at once (test_firstcalls.py aside), as compiled code is what they test.

Where first calls in plain Python end, last digits change, and some tests compare bits.
"""

from solvers import firstcalls

firstcalls.PATIENCE = 0
