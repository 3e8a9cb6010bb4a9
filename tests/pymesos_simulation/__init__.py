"""The simulator: the production cores on a simulated network, coordinator, disk, runtime and clock.

One seed fixes everything. `python -m pymesos_simulation --seed N [--trace]` replays a run.
"""
