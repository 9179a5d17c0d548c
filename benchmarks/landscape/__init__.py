"""What `benchmarks/solvers.py` is made of.

entrants   who takes part: our solvers on our grids
rivals     who else takes part: the scheduler classes of diffusers, by their own code
ground     the noise all begin with, and where the exact equation ends
race       all on few seeds, the better ones on more
distance   how far the samples of chosen solvers are from real data
record     the JSON in which each part keeps its readings
figure     docs/solvers.png
tables     the tables of docs/solvers.md
"""
