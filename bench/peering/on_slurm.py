"""Slurm: its controller, one node, munge; a burst is a job array, a single task an `srun`.

The node is said to have more CPUs than it has, so that as many tasks run at a time as elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from peering.interface import AT_ONCE, COMMAND, INSTALL, About, MissingError, Peer, Servers, run

CGROUPS = Path("/sys/fs/cgroup")
NAMES = ("munged", "slurmctld", "slurmd", "slurmstepd", "sbatch", "srun", "squeue")
# Nothing waits for a cycle of the scheduler, and many jobs are started in one.
CONF = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort=16817
SlurmdPort=16818
PluginDir={plugins}
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
MaxJobCount=100000
MaxArraySize=100001
MinJobAge=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=kill_invalid_depend,batch_sched_delay=0,sched_min_interval=0,sched_interval=1,default_queue_depth=10000,\
max_sched_time=4,partition_job_depth=10000,build_queue_timeout=4000000
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=bench Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
CGROUP_CONF = """
CgroupPlugin={plugin}
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=no
ConstrainRAMSpace=yes
"""


def _find(prefix: Path, name: str) -> str:
    """Return a program of the prefix or of the system. Debian adds `-wlm` to some."""
    root = prefix / "slurm/usr"
    for each in (name, f"{name}-wlm"):
        for folder in (root / "sbin", root / "bin"):
            if (folder / each).exists():
                return str(folder / each)
        if found := shutil.which(each):
            return found
    raise MissingError(f"{name} is missing; {INSTALL} slurm")


class Slurm(Peer):
    """See Peer."""

    about = About(
        "Slurm",
        durable="nothing: its state is written soon after",
        process="yes, and a session; the user who asks",
        limits="a cgroup: memory; cores where they are not more than real",
        sandbox="none; a file for its output",
        share=0.2,
    )

    @staticmethod
    def python(prefix: Path) -> str:
        """See Peer."""
        if os.geteuid():
            raise MissingError("only root can start slurmd; run this as root")
        for name in NAMES:
            _find(prefix, name)
        return sys.executable

    def start(self, prefix: Path, folder: Path) -> str:
        """See Peer."""
        self._folder, self._servers = folder, Servers(folder)
        self._programs = {name: _find(prefix, name) for name in NAMES}
        self._host = socket.gethostname().partition(".")[0]
        library = Path("/usr/lib/x86_64-linux-gnu")
        own = prefix / "slurm" / library.relative_to("/")
        library = own if own.exists() else library
        self._environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "LD_LIBRARY_PATH": f"{library}:{library}/slurm-wlm",
        }
        self._configure(library / "slurm-wlm")
        self._serve()
        self.burst(1)
        return run(self._programs["srun"], "--version", env=self._environment).split()[-1]

    def _configure(self, plugins: Path) -> None:
        (self._folder / "state").mkdir()
        (self._folder / "spool").mkdir()
        key = self._folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        conf = CONF.format(host=self._host, folder=self._folder, plugins=plugins, cpus=AT_ONCE)
        (self._folder / "slurm.conf").write_text(conf)
        unified = (CGROUPS / "cgroup.controllers").exists()
        plugin = "cgroup/v2" if unified else "cgroup/v1"
        (self._folder / "cgroup.conf").write_text(CGROUP_CONF.format(plugin=plugin))

    def _serve(self) -> None:
        folder, servers, env = self._folder, self._servers, self._environment
        munge = folder / "munge.socket"
        servers.start(
            *(self._programs["munged"], "--foreground", "--force", "--socket", str(munge)),
            *("--key-file", str(folder / "munge.key"), "--pid-file", str(folder / "munge.pid")),
            *("--seed-file", str(folder / "munge.seed"), "--log-file", str(folder / "munge.log")),
            env=env,
        )
        servers.wait_for("munged", munge.exists)
        servers.start(self._programs["slurmctld"], "-D", "-i", env=env)
        servers.start(
            *(self._programs["slurmd"], "-D", "-N", self._host),
            *("-d", self._programs["slurmstepd"]),
            env=env,
        )

    def burst(self, tasks: int) -> None:
        """See Peer. `sbatch --wait` asks every 2 s; a job that waits for the others is told."""
        job = run(
            *(self._programs["sbatch"], "--array", f"1-{tasks}", "--parsable"),
            *("--chdir", str(self._folder), "--output", "%a.out"),
            env=self._environment,
            text="#!/bin/sh\ntrue\n",
        ).strip()
        after = f"--dependency=afterok:{job}"
        run(
            *(self._programs["srun"], "--quiet", after, *COMMAND),
            env=self._environment,
            limit_s=150,
        )

    def one(self) -> Mapping[str, float]:
        """See Peer."""
        begin_s = time.perf_counter()
        run(self._programs["srun"], "--quiet", *COMMAND, env=self._environment)
        return {"result": (time.perf_counter() - begin_s) * 1000}

    def stop(self) -> None:
        """See Peer. The cgroups of its steps stay, unless they are removed."""
        if not hasattr(self, "_servers"):
            return
        self._servers.stop()
        for top in CGROUPS.glob("*/slurm*"):
            if re.fullmatch(rf"slurm(_{re.escape(self._host)})?", top.name):
                folders = [top, *(path for path in top.rglob("*") if path.is_dir())]
                for folder in reversed(folders):
                    with contextlib.suppress(OSError):
                        folder.rmdir()
