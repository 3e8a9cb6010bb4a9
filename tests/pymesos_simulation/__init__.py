"""The simulator: production code on a simulated network, ZooKeeper, disk, runtime and clock.

Masters and frameworks run with their production shells; agents with one of the simulator's, around
the production core. One seed fixes everything: `pymesos-simulate --seed N [--trace]` replays a run.
"""
