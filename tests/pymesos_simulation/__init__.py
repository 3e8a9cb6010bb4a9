"""The simulator: production code on a simulated network, ZooKeeper, disk, runtime and clock.

All roles run with their production shells, each process on an event loop of its own (`loop`), and
all on one timeline. One seed fixes everything: `pymesos-simulate --seed N [--trace]` replays a run.
"""
