"""What every role of pymesos shares: resources, ids, task states, time, coordination, serving."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("pymesos-cluster")
except PackageNotFoundError:  # a source tree on PYTHONPATH, not installed
    VERSION = "0+unknown"
