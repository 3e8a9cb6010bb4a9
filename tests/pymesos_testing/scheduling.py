"""Which tests of real components run at once, when pytest has several processes."""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

SHARED = ("integration", "e2e", "web")  # folders whose tests run one after the other, unless …
# … they are of these files: their clusters take free ports and processes of the machine, and no
# more. Their tasks run on the process runtime, and listen on none of an agent's ports.
BESIDE = {
    "e2e": {
        "alerts_cluster", "audit_cluster", "away", "backup", "broken_disks", "certificates",
        "cli", "custom_executors", "emptying", "events", "hosted", "jobs_by_http",
        "jobs_that_change", "joining", "killed_in_the_middle", "monitoring", "permissions",
        "quarantine", "renewal", "restoring", "sdk_store", "standby", "whatif",
    },
    "integration": {
        "artifacts", "budgets", "contract", "fetching", "following", "http_certificates",
        "http_schema", "http_server", "http_streams", "join_port", "mesos_tls", "metrics_server",
        "mutual_tls", "notifier", "package_repository", "web_sockets", "webhook_sending",
        "zookeeper", "zookeeper_state",
    },
}  # fmt: skip


class OneAtATime(LoadScopeScheduling):  # type: ignore[misc]
    """The tests that share the machine run in one of the processes, one after the other.

    They share its networks, its mounts, its engines of containers, and the ports of agents. Those
    that take nothing of it go beside them, file by file; those that only compute, one by one.
    (xdist's own groups do nothing with pytest 9.1: it gives them to tests through a node id that
    cannot be set any more.)
    """

    def _split_scope(self, nodeid: str) -> str:
        """See LoadScopeScheduling."""
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """What is run in one process together with a test: `machine`, its file, or the test alone."""
    path = PurePosixPath(nodeid.partition("::")[0])
    folder = path.parent.name
    if folder == "mesos" or path.stem.removeprefix("test_") in BESIDE.get(folder, ()):
        return str(path)
    return "machine" if folder in SHARED else nodeid
