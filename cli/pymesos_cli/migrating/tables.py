"""Flags and features of Mesos, and what they are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What becomes of something."""

    WORKS = "works"
    DIFFERS = "differs"
    MISSING = "missing"


@dataclass(frozen=True)
class Rule:
    """What a flag is here. One that is set to `usual` says nothing."""

    verdict: Verdict
    told: str
    usual: tuple[str, ...] = ()


def works(told: str) -> Rule:
    """Return the rule of a flag that has its like."""
    return Rule(Verdict.WORKS, told)


def differs(told: str, *usual: str) -> Rule:
    """Return the rule of a flag for which something else is done here."""
    return Rule(Verdict.DIFFERS, told, ("", "false", *usual))


def missing(told: str, *usual: str) -> Rule:
    """Return the rule of a flag for which there is nothing here."""
    return Rule(Verdict.MISSING, told, ("", "false", *usual))


POLICY = "the policy says who may do what: docs/security.md"
MASTER_FLAGS: Mapping[str, Rule] = {
    "acls": differs(POLICY),
    "agent_ping_timeout": works("--agent-ping-timeout"),
    "agent_reregister_timeout": works("--agent-reregister-timeout"),
    "allocation_interval": differs("offers are made as soon as resources are free", "1secs"),
    "allocator": missing("the allocator is that of DRF", "hierarchical", "HierarchicalDRF"),
    "authenticate_frameworks": differs("certificates, or --mesos-credentials"),
    "authenticate_http_frameworks": differs("--mesos-credentials, or --mesos-anonymous"),
    "authenticate_http_readwrite": differs("--mesos-credentials, or certificates"),
    "authorizers": differs(POLICY, "local"),
    "credentials": works("--mesos-credentials, in the same format"),
    "domain": missing("regions and zones are attributes of agents"),
    "fair_sharing_excluded_resource_names": missing("all resources count for shares"),
    "hooks": missing("there are no modules"),
    "hostname": works("--hostname"),
    "max_agent_ping_timeouts": works("--max-agent-ping-timeouts"),
    "modules": missing("there are no modules"),
    "modules_dir": missing("there are no modules"),
    "offer_timeout": works("--offer-timeout; it is 30 s unless it is set"),
    "port": works("--mesos-port, and --port for what speaks gRPC"),
    "rate_limits": differs("each caller has limits of its own, which are not set"),
    "require_agent_domain": missing("regions and zones are attributes of agents"),
    "roles": differs("no list of roles: the policy says who subscribes to which"),
    "weights": differs("`pymesos-cli weights set`"),
    "whitelist": differs("`pymesos-cli cordon`"),
    "work_dir": works("--work-dir"),
    "zk": works("--zk; znodes of both may not be in one folder while both run"),
}
AGENT_FLAGS: Mapping[str, Rule] = {
    "attributes": works("--attributes"),
    "authenticatee": differs("`pymesos-cli cluster join` gives agents certificates", "crammd5"),
    "cgroups_enable_cfs": works("limits of CPU are always hard"),
    "default_role": missing("name the role in --resources, as cpus(ROLE):4", "*"),
    "domain": missing("give --attributes region:R;zone:Z, and constraints go by these"),
    "gc_delay": differs("sandboxes are kept by number, age and size", "1weeks"),
    "hooks": missing("there are no modules"),
    "hostname": works("--hostname"),
    "modules": missing("there are no modules"),
    "qos_controller": missing("nothing is oversubscribed"),
    "resource_estimator": missing("nothing is oversubscribed"),
    "resource_provider_config_dir": missing("there are no resource providers"),
    "resources": works("--resources, in the same format"),
    "secret_resolver": differs("`pymesos-cli secret set`"),
    "volume_profile": missing("there are no resource providers"),
    "work_dir": works("--work-dir; nothing of Mesos' is read there"),
}
# What `--isolation` and `--image_providers` may hold; the rest has nothing here.
ISOLATORS = {
    "cgroups/cpu", "cgroups/mem", "cgroups/pids", "cgroups/blkio", "cgroups/devices", "disk/du",
    "docker/runtime", "docker/volume", "environment_secret", "filesystem/linux",
    "filesystem/posix", "filesystem/shared", "gpu/nvidia", "linux/capabilities",
    "namespaces/ipc", "namespaces/pid", "network/cni", "posix/cpu", "posix/disk", "posix/mem",
    "posix/rlimits", "volume/host_path", "volume/image", "volume/sandbox_path", "volume/secret",
    "windows/cpu", "cgroups/all", "linux/nnp", "linux/devices",
}  # fmt: skip
IMAGE_PROVIDERS = {"docker"}
# Capabilities of frameworks for which there is nothing.
NO_CAPABILITIES = {"REGION_AWARE": "regions and zones are attributes of agents"}
