"""The house is in order: imports point one way, stubs are what the contract says."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from pymesos_core.grpc_transport import CHANNEL_OPTIONS
from pymesos_testing.scheduling import BESIDE, scope_of

ROOT = Path(__file__).resolve().parents[2]
PROTO = {"pymesos_proto"}
CORE = {"pymesos_core"} | PROTO
SDK = {"pymesos_sdk"} | CORE
MAY_IMPORT = {
    "proto/pymesos_proto": set[str](),
    "core/pymesos_core": PROTO,
    "master/pymesos_master": CORE,
    "agent/pymesos_agent": CORE,
    "frameworks/pymesos_sdk": CORE,
    "frameworks/pymesos_binpack": SDK,
    "frameworks/pymesos_lb": CORE,
    "cli/pymesos_cli": SDK | {"pymesos_binpack", "pymesos_master", "pymesos_agent"},
}
IO_MODULES = {
    "asyncio", "socket", "os", "time", "random", "threading", "subprocess", "pathlib", "grpc",
    "kazoo", "psutil", "docker", "sqlite3", "secrets", "uuid", "selectors", "signal",
}  # fmt: skip
CORES = [
    "master/pymesos_master/core",
    "master/pymesos_master/allocator",
    "agent/pymesos_agent/core",
    "frameworks/pymesos_sdk/core.py",
    "frameworks/pymesos_sdk/ledger.py",
    "frameworks/pymesos_binpack/core",
    "frameworks/pymesos_binpack/placement",
    "frameworks/pymesos_binpack/jobs",
    "frameworks/pymesos_binpack/alerts",
    "frameworks/pymesos_binpack/periodic",
    "frameworks/pymesos_binpack/constraints.py",
]
ALLOWED_IN_CORES = {
    ("outcomes.py", "signal"),  # strsignal: a name for a number
    ("bins.py", "random"),  # with a seed, as in `replay`
    ("replay.py", "random"),
    ("replay.py", "pathlib"),  # reads recorded traces, for whoever compares policies
}
ROOMS = {
    "core/pymesos_core": {
        "coordination", "discovery", "mesos", "outgoing", "settings", "security",
    },
    "master/pymesos_master": {
        "core", "allocator", "gateways", "http", "mesos", "queries", "services",
    },
    "cli/pymesos_cli": {
        "access", "backup", "certificates", "contexts", "draining", "jobs", "migrating", "tasks",
        "operators",
        "local", "packages", "variables", "web",
    },
    "agent/pymesos_agent": {
        "core", "containers", "runtimes", "supervision", "files", "health", "mesos", "services",
    },
    "frameworks/pymesos_binpack": {
        "placement", "jobs", "jobfiles", "alerts", "periodic", "core", "services",
    },
}  # fmt: skip


# Each imports only from those before it, and there is no circle within it.
FLOORS = {
    "frameworks/pymesos_binpack": [
        "constraints", "containers", "periodic", "specs", "roles", "placement", "jobs", "jobfiles",
        "alerts", "loading", "restoring", "ahead", "core", "callbacks", "calls", "making",
        "answers", "watches", "shell", "services",
        "metrics", "hosting", "settings", "states", "life", "electing", "moving", "main",
    ],
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """The top-level modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_the_way_the_design_says(package: str) -> None:
    own = package.rsplit("/", 1)[1]
    for path in (ROOT / package).rglob("*.py"):
        ours = {name for name in imports(path) if name.startswith("pymesos")} - {own}
        assert ours <= MAY_IMPORT[package], f"{path} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("package", ROOMS)
def test_a_package_has_the_rooms_that_the_design_names(package: str) -> None:
    found = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert found == ROOMS[package]


def modules(package: str) -> dict[str, set[str]]:
    """The modules of a package, with those of it that they import, also for types only."""
    root = ROOT / package
    names = {
        ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in root.rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for name, path in names.items():
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        froms = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
        wanted: set[str] = set()
        for node in froms:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            wanted |= inner & names.keys() or {str(node.module)}
        found[name] = wanted & names.keys() - {name}
    return found


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_only_from_those_before_them(package: str) -> None:
    floors = ["__init__", *FLOORS[package]]

    def floor(module: str) -> int:
        return floors.index([*module.split("."), "__init__"][1])

    for module, imported in modules(package).items():
        above = {name for name in imported if floor(name) > floor(module)}
        assert not above, f"{module} imports {above}"


@pytest.mark.parametrize("package", FLOORS)
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    left = modules(package)
    while free := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"a circle among {sorted(left)}"


@pytest.mark.parametrize("path", [*MAY_IMPORT, *CORES])
def test_what_is_listed_here_is_there(path: str) -> None:
    """A check of a folder that is gone checks nothing."""
    place = ROOT / path
    assert place.is_file() or any(place.rglob("*.py")), f"{path} is gone: list where it went"


def walks() -> list[tuple[str, str]]:
    """The stops of the walks in docs/architecture.md: file and function."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    return re.findall(r"`(pymesos_\S+\.py):(\w+)`", text)


def test_the_walks_lead_through_the_house_as_it_is() -> None:
    """Whoever follows one finds each function in its file."""
    missing = []
    for file, name in walks():
        (path,) = [where for where in ROOT.glob(f"*/{file}") if where.is_file()]
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        if not any(isinstance(node, functions) and node.name == name for node in nodes):
            missing.append(f"{file}:{name}")
    assert not missing, missing
    assert len(walks()) > 30


@pytest.mark.parametrize("core", CORES)
def test_a_core_does_no_io(core: str) -> None:
    place = ROOT / core
    for path in [place] if place.is_file() else place.rglob("*.py"):
        forbidden = imports(path) & IO_MODULES
        forbidden = {name for name in forbidden if (path.name, name) not in ALLOWED_IN_CORES}
        assert not forbidden, f"{path} imports {forbidden}"


# What front doors share knows of none of them.
TRANSPORT_FREE = [
    "master/pymesos_master/queries",
    "master/pymesos_master/commands.py",
    "core/pymesos_core/errors.py",
    "core/pymesos_core/caller.py",
    "core/pymesos_core/json_dialect.py",
]


@pytest.mark.parametrize("place", TRANSPORT_FREE)
def test_what_front_doors_share_knows_no_transport(place: str) -> None:
    there = ROOT / place
    paths = [there] if there.is_file() else list(there.rglob("*.py"))
    assert paths, f"{place} is not there"
    for path in paths:
        assert not imports(path) & {"grpc", "asyncio", "aiohttp", "socket"}, path
        assert "pymesos_master.services" not in path.read_text("utf-8"), path


COMPILING = {
    "compile",
    "match",
    "fullmatch",
    "search",
    "sub",
    "subn",
    "findall",
    "finditer",
    "split",
}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_python_compiles_no_expression_from_outside(package: str) -> None:
    """Whoever sends one chooses what it costs: pymesos_core.expressions has those that are safe."""
    for path in (ROOT / package).rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        assert path.name == "expressions.py" or "re2" not in imports(path), path
        # These make expressions of what they are given, for re.
        assert not imports(path) & {"fnmatch", "glob"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "re":
                raise AssertionError(f"{path}:{node.lineno} imports from re: import re instead")
            if isinstance(node, ast.alias) and node.name == "re":
                assert node.asname is None, f"{path}:{node.lineno} has another name for re"
            called = node.func if isinstance(node, ast.Call) else None
            if (
                isinstance(called, ast.Attribute)
                and isinstance(called.value, ast.Name)
                and called.value.id == "re"
                and called.attr in COMPILING
            ):
                assert isinstance(node, ast.Call)
                pattern = node.args[0] if node.args else None
                assert _is_written(pattern), (
                    f"{path}:{node.lineno} gives re an expression that is not written there"
                )


def _is_written(pattern: ast.expr | None) -> bool:
    """A constant, or one put together of constants by their names."""
    if isinstance(pattern, ast.JoinedStr):
        return all(
            isinstance(part, ast.Constant)
            or (
                isinstance(part, ast.FormattedValue)
                and isinstance(part.value, ast.Name)
                and part.value.id.isupper()
            )
            for part in pattern.values
        )
    return isinstance(pattern, ast.Constant)


def test_what_tasks_made_is_removed_by_trees() -> None:
    """shutil.rmtree calls itself for each level, and a task may make more of them than that can."""
    for path in (ROOT / "agent").rglob("*.py"):
        assert "rmtree" not in path.read_text("utf-8"), path


def test_the_supervisor_imports_the_standard_library_only() -> None:
    ours = modules("agent/pymesos_agent")
    room = "pymesos_agent.supervision"
    reached, new = set[str](), {f"{room}.supervisor", f"{room}.becoming"}
    while new:
        reached |= new
        new = {name for each in new for name in ours[each]} - reached
    assert f"{room}.keeping" in reached and "pymesos_agent.files.logfile" in reached
    for name in reached:
        found = imports(ROOT / "agent" / f"{name.replace('.', '/')}.py")
        assert found <= sys.stdlib_module_names | {"pymesos_agent"}, name
    assert imports(ROOT / "agent/pymesos_agent/__init__.py") == set()


def test_the_stubs_are_what_the_contract_says(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "proto/generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate(tmp_path)
    here = ROOT / "proto"
    made = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*_pb2*.py*")}
    kept = {p.relative_to(here): p.read_text() for p in here.rglob("*_pb2*.py*")
            if "__pycache__" not in p.parts}  # fmt: skip
    assert made == kept, "run `make proto` and commit what it changes"


def test_the_example_is_short() -> None:
    lines = (ROOT / "frameworks/examples/hello_framework.py").read_text().splitlines()
    assert len(lines) <= 50


def test_no_connection_within_the_cluster_goes_through_a_proxy() -> None:
    assert ("grpc.enable_http_proxy", 0) in CHANNEL_OPTIONS
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text("utf-8")
            if "insecure_channel(" in text:
                assert "enable_http_proxy" in text, f"{path} makes a channel that asks a proxy"


def test_a_core_is_stepped_by_the_runner_only() -> None:
    """Whoever steps one has to know what to do when a step fails."""
    found = set()
    for package in (*MAY_IMPORT, "bench"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Attribute) and node.attr == "step":
                    found.add(str(path.relative_to(ROOT)))
    # These measure cores alone, without anything to carry effects out.
    assert found == {"core/pymesos_core/runner.py", "bench/churn.py", "bench/life.py"}


# gRPC is one transport of several: what is written against `transport.py` runs on any.
KNOW_GRPC = {
    "core/pymesos_core/grpc_transport.py",
    "core/pymesos_core/security/credentials.py",
    "core/pymesos_core/serving.py",
    "core/pymesos_core/role.py",
    "agent/pymesos_agent/health/checking.py",  # tasks are asked for their health by it
}


def test_few_know_of_grpc() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
        if "grpc" in imports(path) and not path.name.endswith("_pb2_grpc.py")
    }
    found = {path for path in found if not path.startswith("cli/")}
    assert found == KNOW_GRPC, found ^ KNOW_GRPC


BEGIN_TASKS = {"create_task", "ensure_future"}
MAY_BEGIN_TASKS = {
    "core/pymesos_core/tasks.py",  # and ends them
    "core/pymesos_core/runner.py",  # its writing, which it awaits
    "core/pymesos_core/streams.py",  # `to_the_end`, which awaits it
}


def _groups(tree: ast.AST) -> set[str]:
    """The names of the TaskGroups of a file."""
    return {
        ast.unparse(item.optional_vars)
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if item.optional_vars is not None and ast.unparse(item.context_expr).endswith("TaskGroup()")
    }


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_task_is_ended_by_somebody(package: str) -> None:
    """One that is begun and forgotten may be collected while it works, and nobody sees it fail."""
    for path in (ROOT / package).rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        groups = _groups(tree)
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Attribute) and node.attr in BEGIN_TASKS):
                continue
            allowed = str(path.relative_to(ROOT)) in MAY_BEGIN_TASKS
            assert allowed or ast.unparse(node.value) in groups, (
                f"{path}:{node.lineno}: begin it in a TaskGroup, or by pymesos_core.tasks"
            )


MADE_OF_A_SET = (ast.Set, ast.SetComp)
IN_ANY_ORDER = {"sorted", "min", "max", "sum", "any", "all", "set", "frozenset", "len"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_nothing_is_done_in_the_order_of_a_set(package: str) -> None:
    """The order of a set is another in each process: a seed would not replay."""
    for path in (ROOT / package).rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        unordered = {
            id(generator)
            for node in ast.walk(tree)
            if isinstance(node, ast.SetComp)
            or (isinstance(node, ast.Call) and ast.unparse(node.func) in IN_ANY_ORDER)
            for part in (*getattr(node, "args", ()), node)
            for generator in getattr(part, "generators", ())
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.For | ast.comprehension) or id(node) in unordered:
                continue
            assert not isinstance(node.iter, MADE_OF_A_SET), (
                f"{path}: in the order of {ast.unparse(node.iter)}: dict.fromkeys keeps one"
            )


HAVE_LIVES = ["master/pymesos_master/core", "agent/pymesos_agent/core"]
MESSAGES = {"told.state", "record.state", "status.state"}  # what is said of a state


@pytest.mark.parametrize("core", HAVE_LIVES)
def test_states_change_by_tables_only(core: str) -> None:
    """What a table does not know it can neither refuse nor show."""
    for path in (ROOT / core).rglob("*.py"):
        stores = (
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        )
        assigned = {name for name in stores if name.endswith(".state")} - MESSAGES
        assert not assigned, f"{path} assigns {assigned}: move it by its table, see lifecycles.py"


MOST_LINES = {ast.Module: 500, ast.ClassDef: 300}


@pytest.mark.parametrize(
    "folder", ["proto", *sorted(MAY_IMPORT), "bench", "deploy", "docs", "tests"]
)
def test_files_and_classes_are_short_or_say_why_they_are_whole(folder: str) -> None:
    paths = [p for p in (ROOT / folder).rglob("*.py") if not p.stem.endswith(("_pb2", "_pb2_grpc"))]
    assert paths, f"{folder} has no modules"
    for path in paths:
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef):
                continue
            first = 0 if isinstance(node, ast.Module) else node.lineno - 1
            last = max((n.end_lineno or 0 for n in node.body), default=0)
            if last - first > MOST_LINES[type(node)]:
                name = getattr(node, "name", "")
                assert "better whole" in (ast.get_docstring(node) or ""), (
                    f"{path} {name} has {last - first} lines: cut it, or say why it is better whole"
                )


def test_files_of_tests_have_names_of_their_own() -> None:
    """pytest takes two files of one name for one module, and collects neither."""
    names = sorted(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]


@pytest.mark.parametrize("folder", sorted(BESIDE))
def test_what_runs_beside_the_rest_takes_nothing_of_the_machine(folder: str) -> None:
    engines = re.compile(
        r"\b(docker_host|podman_host|docker_rig|oci_rig|oci|runc|crun|netns|iptables|Chaos)\b"
    )
    for name in BESIDE[folder]:
        text = (ROOT / f"tests/{folder}/test_{name}.py").read_text()
        assert not engines.search(text), name
        assert scope_of(f"tests/{folder}/test_{name}.py::test_it") != "machine"
    assert scope_of(f"tests/{folder}/test_of_something_new.py::test_it") == "machine"
