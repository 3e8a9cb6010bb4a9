"""What is measured for the table of bench/README.md, by which commands, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One number of a result."""

    what: str
    path: str  # the keys that lead to it, with slashes; a number is an index
    unit: str = ""
    aim: str = ""  # such as `≤ 4`, with which it is compared; or words
    optional: bool = False  # whether results without it are good ones
    factor: float = 1.0


@dataclass(frozen=True)
class Measurement:
    """A command whose results are kept."""

    command: str  # a script of this folder, and its options
    minutes: float  # that it takes on two idle cores
    figures: tuple[Figure, ...]

    @property
    def script(self) -> str:
        """The script."""
        return self.command.split()[0]


THROUGHPUT = (
    Figure("whole lives a second", "tasks_per_s", aim="≥ 2,000"),
    Figure("by those of a bare echo", "ratio_to_echo", aim="≥ 0.5"),
    Figure("ACCEPT to RUNNING, p50", "accept_to_running_ms/p50", "ms"),
    Figure("the master's CPU for a life", "cpu_ms_per_task/master", "ms", optional=True),
    Figure("the master's memory", "master_rss_mib", "MiB"),
)
ALLOCATION = (
    Figure("first cycle", "first_cycle_s", "s"),
    Figure("later cycles, p50", "cycle_s/p50", "s"),
    Figure("after one decline", "idle_cycle_s", "ms", factor=1000),
    Figure("memory", "rss_mib", "MiB"),
)
TRACES = ("default", "gpushare40", "multigpu20")
OPENB = "../shared/data/openb"

MILLION = (
    Figure("tasks scheduled a second", "scheduled_per_s", aim="≥ 4,000"),
    Figure("the master's memory for a task", "rss_per_task", "KiB", "≤ 2.5", factor=1 / 1024),
    Figure("the first page of tasks", "first_page_ms", "ms", "≤ 1,000"),
    Figure("explain", "explain_ms", "ms", "≤ 1,000"),
    Figure("first offer after the leader's death", "first_offer_s", "s", "≤ 10"),
    Figure("all tasks known", "all_known_s", "s", "≤ 60"),
    Figure("tasks lost", "lost", aim="≤ 0"),
    Figure("others wait while it launches, p99", "lag_launching/p99_ms", "ms", "≤ 100"),
)

MEASUREMENTS: dict[str, Measurement] = {
    "peers": Measurement(
        "peers.py",
        4,
        (
            Figure("short tasks a second", "peers/us/tasks_per_s/median"),
            Figure("the same on Ray", "peers/ray/tasks_per_s/median", optional=True),
            Figure("on dask", "peers/dask/tasks_per_s/median", optional=True),
            Figure("on HyperQueue", "peers/hyperqueue/tasks_per_s/median", optional=True),
            Figure("on Slurm", "peers/slurm/tasks_per_s/median", optional=True),
            Figure("on Docker Swarm", "peers/swarm/tasks_per_s/median", optional=True),
            Figure("a bare loop", "peers/bare/tasks_per_s/median", optional=True),
            Figure("ours by the better of Ray and dask", "peers/us/ratio_to_best", aim="≥ 1"),
            Figure("one task, to running, p50", "peers/us/one_ms/running", "ms"),
            Figure("our CPU for a task", "peers/us/cpu_ms_per_task/median", "ms"),
        ),
    ),
    "launch": Measurement(
        "launch.py",
        0.5,
        (
            Figure("submit to RUNNING, idle, p50", "submit_to_running_ms/p50", "ms",
                   "4 and one sync"),
            Figure("p99", "submit_to_running_ms/p99", "ms"),
            Figure("short tasks a second", "tasks_per_s"),
            Figure("by those of a bare loop", "ratio_to_bare"),
            Figure("CPU for a task, by role", "cpu_ms_per_task", "ms", optional=True),
        ),
    ),
    "million": Measurement("million.py", 20, MILLION),
    "million-100000": Measurement("million.py --agents 500 --tasks 100000", 2, MILLION),
    "throughput": Measurement("throughput.py", 2, THROUGHPUT),
    "throughput-two-slots": Measurement(
        "throughput.py --at-once 2 --tasks 130000",
        2,
        (THROUGHPUT[0], Figure("by those of a bare echo", "ratio_to_echo", aim="≥ 0.6"),
         *THROUGHPUT[2:3],
         Figure("the master's CPU for a life", "cpu_ms_per_task/master", "ms", "≤ 0.25"),
         *THROUGHPUT[4:]),
    ),
    "throughput-alive": Measurement(
        "throughput.py --agents 10000 --tasks 180000 --alive 100000",
        6,
        (
            Figure("whole lives a second", "tasks_per_s", aim="≥ 1,500"),
            Figure("by those of a bare echo", "ratio_to_echo"),
            *THROUGHPUT[2:],
        ),
    ),
    "life": Measurement(
        "life.py",
        0.5,
        (
            Figure("the master's core, for a life", "master_us", "µs"),
            Figure("an agent's", "agent_us", "µs"),
        ),
    ),
    "allocation": Measurement(
        "allocation.py --agents 10000 --frameworks 200 --scenario decline", 1, ALLOCATION
    ),
    "allocation-frameworks": Measurement(
        "allocation.py --agents 10000 --frameworks 1000 --scenario decline", 1, ALLOCATION
    ),
    "allocation-large": Measurement(
        "allocation.py --agents 100000 --frameworks 1000 --scenario decline",
        3,
        (Figure("first cycle", "first_cycle_s", "s", "≤ 0.3"), *ALLOCATION[1:]),
    ),
    "allocation-quota": Measurement(
        "allocation.py --agents 3000 --frameworks 3000 --scenario quota", 1, ALLOCATION
    ),
    "containers": Measurement(
        "containers.py --runtime oci",
        2,
        (
            Figure("containers a second", "launches_per_s"),
            Figure("by those of bare runc", "ratio_to_bare"),
            Figure("by those of bare crun", "bare_crun/ratio", aim="≥ 0.85"),
            Figure("Docker Swarm", "swarm_launches_per_s"),
            Figure("one on an idle cluster, p50", "start_ms/p50", "ms"),
            Figure("kill to KILLED, p50", "kill_ms/p50", "ms"),
        ),
    ),
    "neighbour": Measurement(
        "neighbour.py --runtime oci",
        3,
        tuple(
            Figure(f"a neighbour's p99 beside a bully: {name}", f"ratio/{key}", aim="≤ 1.1")
            for name, key in (
                ("memory", "memory"),
                ("processes", "pids"),
                ("disk", "disk"),
                ("a revocable guest", "revocable"),
            )
        ),
    ),
    "failover": Measurement(
        "failover.py",
        1.5,
        (
            Figure("first offer, session of 4 s", "first_offer_s", "s"),
            Figure("last agent", "last_agent_s", "s"),
            Figure("tasks lost", "lost", aim="≤ 0"),
            Figure("tasks doubled", "doubled", aim="≤ 0"),
        ),
    ),
    "takeover": Measurement(
        "takeover.py --rounds 6",
        4,
        (
            Figure("the standby leads, beyond the session of 4 s (least, median, most)",
                   "killed/beyond_s", "s", "≤ 1"),
            Figure("the same, the leader stopped", "stopped/beyond_s", "s", "≤ 1"),
            Figure("tasks lost", "lost", aim="≤ 0"),
        ),
    ),
    "security": Measurement(
        "security.py --tasks 15000 --rounds 60",
        3,
        (
            Figure("tasks a second, with certificates by without", "ratio_throughput",
                   aim="≥ 0.9"),
            Figure("launch p50, likewise", "ratio_launch_p50"),
            Figure("the master's memory for an agent", "kib_per_agent", "KiB"),
        ),
    ),
    "listing": Measurement(
        "listing.py",
        2,
        (
            Figure("`pymesos-cli tasks` of 100,000", "tasks_s", "s", "≤ 1"),
            Figure("all of them as JSON", "all_json_s", "s"),
            Figure("a health request meanwhile, longest", "longest_block_ms", "ms"),
            Figure("the master's memory for a task", "master_bytes_per_task", "KiB",
                   factor=1 / 1024),
        ),
    ),
    "http_pages": Measurement(
        "http_pages.py",
        4,
        (
            Figure("what 200 pages cost of the throughput", "cost", aim="≤ 0.1"),
            Figure("of it what is noted for them", "noting"),
            Figure("the master's CPU for the pages", "pages_cpu_ms_per_s", "ms/s"),
        ),
    ),
    "http_lists": Measurement(
        "http_lists.py",
        2,
        (
            Figure("a page of 100 of 100,000 tasks, all orders and filters", "idle/list_ms/p50",
                   "ms", "≤ 50"),
            Figure("the longest", "idle/list_ms/longest", "ms", "≤ 50"),
            Figure("the slowest of them, p50", "idle/slowest_ms/p50", "ms", "≤ 50"),
            Figure("while 300 tasks a second are launched and end", "working/list_ms/p50",
                   "ms", "≤ 50"),
            Figure("the longest", "working/list_ms/longest", "ms"),
            Figure("the slowest of them, p50", "working/slowest_ms/p50", "ms", "≤ 50"),
        ),
    ),
    "http_hostile": Measurement(
        "http_hostile.py",
        1,
        (
            Figure("the master's memory before, at its most, after", "memory_mib", "MiB"),
            Figure("`/health` meanwhile, p50", "health_ms/p50", "ms"),
            Figure("requests without an answer", "unanswered", aim="≤ 0"),
        ),
    ),
    "mesos_api": Measurement(
        "mesos_api.py",
        2,
        (
            Figure("ACCEPTs a second, JSON", "json/accepts_per_s", aim="≥ 3,000"),
            Figure("protobuf", "protobuf/accepts_per_s", aim="≥ 3,000"),
            Figure("the master's CPU for one, JSON", "json/cpu_us/accepts", "µs", optional=True),
            Figure("protobuf", "protobuf/cpu_us/accepts", "µs", optional=True),
            Figure("tasks a second, 500 in an ACCEPT, JSON", "json/tasks_per_s",
                   aim="≥ 13,800"),
            Figure("protobuf", "protobuf/tasks_per_s", aim="≥ 13,800"),
            Figure("the master's CPU for one, JSON", "json/cpu_us/tasks", "µs", optional=True),
            Figure("protobuf", "protobuf/cpu_us/tasks", "µs", optional=True),
            Figure("tasks reconciled a second, protobuf", "protobuf/reconciliations_per_s",
                   aim="≥ 31,000"),
            Figure("`/state` a second", "json/state_per_s", aim="≥ 66"),
        ),
    ),
    "rollout": Measurement(
        "rollout.py",
        3,
        (
            Figure("100 instances: a decision, longest", "good/worst_ms", "ms", "≤ 50"),
            Figure("1,000 services, 100 rollouts: of a core", "framework/cores", "", "≤ 0.5"),
            Figure("10,000 jobs: the first page", "listing/first_page/ms", "ms", "≤ 1,000"),
            Figure("until the framework has read them", "listing/served_after_s", "s"),
            Figure("20 services leave a drained agent", "drain/left_after_s", "s", "≤ 15"),
            Figure("of them ended too early", "drain/dips", aim="≤ 0"),
        ),
    ),
    "rollout-haproxy": Measurement(
        "rollout.py --haproxy",
        5,
        (
            Figure("requests in 10 rollouts and 10 rollbacks", "haproxy/requests"),
            Figure("a second, of 1,000", "haproxy/requests_per_s", aim="≥ 990"),
            Figure("that failed", "haproxy/failed", aim="≤ 0"),
            Figure("the longest rollout", "haproxy/worst_change_s", "s"),
        ),
    ),
    "planning": Measurement(
        "planning.py",
        0.5,
        (
            Figure("a life, 100 tasks wait, one agent", "rows/0/life_ms", "ms"),
            Figure("9,000 tasks, 10,000 agents: by the first", "rows/3/ratio"),
            Figure("with a constraint", "rows/4/ratio"),
        ),
    ),
    "packing": Measurement(
        f"packing.py --nodes {OPENB}/openb_node_list_gpu_node.csv --pods"
        f" {OPENB}/openb_pod_list_default.csv --trace {','.join(TRACES)} --policy default,fgd"
        " --seeds 5",
        3,
        tuple(
            Figure(f"GPUs allocated, {trace}: {who}",
                   f"{2 * number + second}/allocated_percent/mean", "%")
            for number, trace in enumerate(TRACES)
            for second, who in enumerate(("ours", "FGD"))
        ),
    ),
    "vectors": Measurement(
        "packing.py --vectors 10",
        4,
        tuple(
            Figure(f"bins of 200 vectors of {number}, 10–40 %: {who}", f"{row}/bins/{method}")
            for number, row in (("2", 0), ("10", 10))
            for who, method in (("ours", "ours"), ("first-fit decreasing", "ffd"),
                                ("no packing is below", "lp bound"))
        ),
    ),
    "web": Measurement(
        "web.py --agents 500",
        3,
        (
            Figure("100,000 tasks: first rows", "rows_ms", "ms"),
            Figure("a word typed to its task", "filter_ms", "ms"),
            Figure("the map of the agents", "map_ms", "ms"),
            Figure("the browser's memory", "heap_mib", "MiB"),
            Figure("script for 1,000 tasks that change", "change_script_ms", "ms", "≤ 8"),
            Figure("in 8 s in which nothing happens", "quiet_script_ms", "ms"),
        ),
    ),
    "churn": Measurement(
        "churn.py",
        3,
        (Figure("a core's memory after each quarter of an hour", "rss_mib_by_quarter", "MiB"),),
    ),
}  # fmt: skip
