"""One table of limits: how large what comes from outside may be.

Whoever takes something in checks it here, before anything is changed or written, and refuses it
with the sentence that `Limit.problem` makes. `docs/limits.md` is generated from this table, and
the comments of the contract name its lines.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of one thing, in `unit`."""

    name: str
    most: int
    unit: str  # "bytes", or what is counted: "ranges", "tasks"
    what: str  # is bounded; it begins a sentence

    def problem(self, size: int, what: str = "") -> str | None:
        """Why something of this size is refused, naming the limit and the size; or None."""
        if size <= self.most:
            return None
        return f"{what or self.what} has {size} {self.unit}; at most {self.most} are accepted"


MAX_JOB_VERSION = 10**9  # the number of a version of a job: so far they are counted, and no further
MAX_SAID = 1000  # characters of what is wrong, which may quote what was sent

# What is sent.
MESSAGE = Limit("message", MIB, "bytes", "A message")
DATA = Limit("data", 512 * KIB, "bytes", "A message between a framework and its executor")
STATUS = Limit("status", 64 * KIB, "bytes", "A status update")
# Of an executor's own, to which its agent adds who and where it is.
SAID_STATUS = Limit("status of an executor", 63 * KIB, "bytes", "A status update")
DIGEST = Limit("digest of a token", 64, "bytes", "The digest of a token")
UUID = Limit("uuid", 64, "bytes", "The uuid of a status update")
ACCEPT = Limit("accept", 8 * MIB, "bytes", "An ACCEPT")  # in parts that are messages
CALL_OFFERS = Limit("call offers", 1000, "offers", "A call")
CALL_OPERATIONS = Limit("call operations", 256, "operations", "An ACCEPT")
CALL_TASKS = Limit("call tasks", 1000, "tasks", "A call")
CALL_AGENTS = Limit("call agents", 1000, "agents", "A call")
ASKED_TASKS = Limit("tasks asked for", 20_000, "tasks", "What is to be reconciled")
CONSTRAINTS = Limit("offer constraints", 128, "constraints", "What is subscribed")
PUBLISHED = Limit("tasks published", 1000, "tasks", "A PUBLISH")
USED_TASKS = Limit("tasks in a report of usage", 5000, "tasks", "A report of usage")
CALL_ROLES = Limit("call roles", 256, "roles", "A call")
REQUEST = Limit("request for a certificate", 8 * KIB, "bytes", "A request for a certificate")
# What is kept.
RECORD = Limit("registry record", 511 * KIB, "bytes", "A record of the registry")
AGENT_INFO = Limit("agent info", 64 * KIB, "bytes", "The AgentInfo")
RESERVED = Limit("reserved on an agent", 128 * KIB, "bytes", "What is reserved on an agent")
RESERVED_ENTRIES = Limit("entries reserved", 512, "entries", "What is reserved on an agent")
REGISTRATION = Limit("registration", 256 * MIB, "bytes", "A registration")  # in parts
AGENT_EXECUTORS = Limit(
    "executors with resources of an agent",
    1000,
    "executors with resources of their own",
    "An agent",
)
AGENT_TASKS = Limit("tasks of an agent", 10_000, "tasks", "An agent")
FRAMEWORK_INFO = Limit("framework info", 64 * KIB, "bytes", "The framework info")
FRAMEWORK_ROLES = Limit("framework roles", 256, "roles", "A framework")
# Twice in the framework info of one that takes jobs: the roles that it is in, and the patterns.
ROLES_OF_JOBS = Limit("roles of jobs", 24 * KIB, "bytes", "The list of a framework's roles")
TASK_INFO = Limit("task", 256 * KIB, "bytes", "Task")
EXECUTOR_INFO = Limit("executor", 128 * KIB, "bytes", "Executor")
GROUP = Limit("task group", 512 * KIB, "bytes", "The group")
GROUP_TASKS = Limit("tasks of a group", 64, "tasks", "The group")
QUOTA = Limit("quota", 64 * KIB, "bytes", "The quota of a role")
JOB_VERSIONS = Limit("versions of a job", 20, "versions", "A job that is restored")
TOKENS = Limit("tokens", 2000, "tokens to join with", "The cluster")
REVOCATIONS = Limit("revocations", 2000, "revocations", "The cluster")
ACCESS_TOKENS = Limit("access tokens", 2000, "access tokens", "The cluster")
PEER_ACCESS_TOKENS = Limit("access tokens of a principal", 100, "access tokens", "A principal")
RIGHTS = Limit("rights of an access token", 64, "rights", "An access token")
RIGHT = Limit("right of an access token", 512, "bytes", "A right of an access token")
REVOKED = Limit("revoked names", 4000, "names", "What is let in no more")  # and access tokens
SECRET = Limit("secret", 64 * KIB, "bytes", "A secret")
SEALED = Limit("sealed secret", 64 * KIB + 16, "bytes", "A sealed secret")
NONCE = Limit("nonce", 64, "bytes", "The nonce of a sealed secret")
SECRETS = Limit("secrets", 2000, "secrets", "The cluster")
ALL_SECRETS = Limit("all secrets", 16 * MIB, "bytes", "The store of secrets")
WEBHOOKS = Limit("webhooks", 20, "webhooks", "The cluster")
WEBHOOK_URL = Limit("url of a webhook", 2048, "bytes", "The URL of a webhook")
VARIABLE_VALUE = Limit("value of a variable", 4 * KIB, "bytes", "The value of a variable")
VARIABLES = Limit("variables", 1000, "variables", "A framework")
ALL_VARIABLES = Limit("all variables", 4 * MIB, "bytes", "What a framework keeps of variables")
ACCOUNTED_DAYS = Limit("days accounted for", 62, "days", "The accounting")
ACCOUNTS = Limit("accounts of a day", 2000, "accounts", "A day")
ACCOUNTS_OF_ROLE = Limit("accounts of a role", 500, "accounts", "A day of a role")
ACCOUNTED_RESTS = Limit("rests of roles", 200, "rests", "A day")
CONFIG_FILE = Limit("config file", 64 * KIB, "bytes", "A config file")
CONFIG_ADDRESSES = Limit("tasks of a config file", 32, "tasks", "A config file")
ADDRESSES_NAME = Limit("name of addresses", 127, "bytes", "The name of addresses")
TASK_CONFIG = Limit("config files of a task", 16, "files", "A task")
CLUSTER_ALERTS = Limit("alerts of the cluster", 500, "alerts", "The cluster")
CLUSTER_SILENCES = Limit("silences of the cluster", 100, "silences", "The cluster")
TASK_SECRETS = Limit("secrets of a task", 16, "secrets", "A task")
TASK_VALUES = Limit("values of a task", 512 * KIB, "bytes", "What a task gets of secrets")
JOB = Limit("job", 512 * KIB, "bytes", "A job")
JOB_TEXT = Limit("job as text", 64 * KIB, "bytes", "A job as text")  # YAML takes long to read
FRAMEWORK_STATE = Limit(
    "framework state in ZooKeeper", 64 * MIB, "bytes", "The state of a framework in ZooKeeper"
)
POLICY = Limit("policy", 64 * KIB, "bytes", "The policy")
POLICY_AS = Limit("launched as", 100, "entries", "What a rule lets tasks be launched as")
POLICY_RULES = Limit("rules of a policy", 1000, "rules", "The policy")
NAMES = Limit("names of a framework", 50_000, "tasks", "What a framework publishes")
NAMED_PORTS = Limit("named ports", 100, "ports", "What serves")
EXPOSED = Limit("exposed", 16, "routes", "What serves")
# What they are made of.
NAME_PART = Limit("part of a name", 63, "bytes", "A part of a name")
PORT_NAME = Limit("name of a port", 32, "bytes", "The name of a port")
ID = Limit("id", 255, "bytes", "An id")
ROLE = Limit("role", 255, "bytes", "A role")
HOSTNAME = Limit("host name", 255, "bytes", "A host name")
NAME = Limit("name", 1024, "bytes", "A name")
LABELS = Limit("labels", 256, "labels", "What carries labels")
LABEL_KEY = Limit("label key", 255, "bytes", "The key of a label")
LABEL_VALUE = Limit("label value", 64 * KIB, "bytes", "The value of a label")
ATTRIBUTES = Limit("attributes", 256, "attributes", "An agent")
ATTRIBUTE_VALUE = Limit("attribute value", 255, "bytes", "The value of an attribute")
# One string of execve has at most 128 KiB with the NUL that ends it (MAX_ARG_STRLEN of Linux).
COMMAND = Limit("command", 128 * KIB - 1, "bytes", "A command, or one of its arguments")
VARIABLE = Limit("environment variable", 128 * KIB - 1, "bytes", "A variable, as NAME=VALUE,")
RESOURCE_NAMES = Limit("resource names", 64, "names", "What lists resources")
RESOURCE_ENTRIES = Limit("resource entries", 1024, "entries", "What lists resources")
RANGES = Limit("ranges", 1024, "ranges", "A resource")
ITEMS = Limit("items", 1024, "items", "A resource")
ITEM = Limit("item", 255, "bytes", "An item of a set")
REFINEMENTS = Limit("refinements", 8, "reservations", "A resource")
PATH = Limit("path", 1024, "bytes", "A path")
# What one may have open at a server, and keep in the registry.
PEER = "A principal, or an address without one"
PEER_CALLS = Limit("calls of a peer", 500, "calls open", PEER)
PEER_WATCHERS = Limit("watchers of a peer", 100, "watches open", PEER)
PEER_SCHEDULERS = Limit("schedulers of a peer", 1000, "schedulers connected", PEER)
PEER_AGENTS = Limit("agents of a peer", 20_000, "agents connected", PEER)
PEER_EXECUTORS = Limit("executors of a peer", 10_000, "executors connected", PEER)
REGISTERED_FRAMEWORKS = Limit("frameworks", 10_000, "frameworks registered", "The cluster")
ROLES = Limit("roles with terms", 10_000, "roles with a weight or a quota", "The cluster")
REGISTERED_AGENTS = Limit("agents", 100_000, "agents registered", "The cluster")
PEER_REGISTERED_FRAMEWORKS = Limit("frameworks of a peer", 1000, "frameworks registered", PEER)
PEER_REGISTERED_AGENTS = Limit("registered agents of a peer", 20_000, "agents registered", PEER)
PEER_REGISTRY = Limit(
    "registry of a peer", 64 * MIB, "bytes of agents and frameworks registered", PEER
)

TABLE: tuple[Limit, ...] = tuple(value for value in globals().values() if isinstance(value, Limit))
