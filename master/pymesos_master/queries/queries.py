"""What operators read of a leader, whichever front door they come by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import compress, islice
from typing import Any

from pymesos_core.caller import Caller
from pymesos_core.clock import Now, read_clock
from pymesos_core.errors import invalid, not_found
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import from_proto
from pymesos_core.security.audit import Entry
from pymesos_core.security.policy import EVERY, Roles, Verb, roles_for
from pymesos_core.serving_jobs import roles_taken
from pymesos_core.streams import in_thread
from pymesos_core.text import quoted
from pymesos_master.core import MasterCore, accounting
from pymesos_master.core.accounts import Sums
from pymesos_master.core.records import AGENT, WebhookRecord
from pymesos_master.core.state import Agent, Framework, Quarantined, Task
from pymesos_master.queries import accounted
from pymesos_master.queries.access import Access
from pymesos_master.queries.explaining import explanation
from pymesos_master.queries.looking import Look
from pymesos_master.queries.ordering import (
    AGENT_KEYS,
    SORTED_FIRST,
    SORTED_NEXT,
    AgentSearch,
    Sorted,
    TaskFilter,
    are_many_in,
    every,
    sorted_by,
    task_keys,
    task_search,
    words_of,
)
from pymesos_master.queries.paging import Items, Listing, PageRequest, Pages
from pymesos_master.queries.permits import Permits
from pymesos_master.queries.uses import Uses
from pymesos_master.queries.views import (
    agent_view,
    framework_view,
    offer_view,
    quarantined_view,
    role_views,
    task_view,
)
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

LOOKED_BACK = 1000  # tasks that have ended, for those that failed
FAILURES = frozenset(
    {
        types_pb2.TASK_FAILED,
        types_pb2.TASK_ERROR,
        types_pb2.TASK_LOST,
        types_pb2.TASK_DROPPED,
        types_pb2.TASK_GONE,
    }
)


class Queries:
    """Reads of the state of one leader. Views are messages of the contract.

    `permits` says who may read what, and `access` reads tokens, revocations and secrets.
    Listings come in pages and raise RequestError (OUTDATED) for a token that is not known any more.
    It has more than 300 lines and is better whole: each method is one thing that can be asked, and
    they share who may read what.
    """

    def __init__(
        self,
        core: MasterCore,
        clock: Callable[[], Now] = read_clock,
        audit: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        """`audit` is told what is denied."""
        self._core = core
        self._state = core.state
        self._clock = clock
        self._pages = Pages(clock)
        self.permits = Permits(core.state, clock, audit)
        self.access = Access(core.state, self.permits, self._pages, clock)
        self._sorted = Sorted(clock)
        self._uses = Uses()
        self._agent_search = AgentSearch()

    def agents(
        self,
        caller: Caller,
        page: PageRequest,
        id_prefix: str = "",
        search: str = "",
        sort: str = "",
    ) -> Listing[pb.AgentView]:
        """Agents by id, or sorted, with those whose record cannot be handled.

        They are of no role: who may read any sees them, without what is reserved for others.
        """
        may = self.permits.readable(caller, "Operator.ListAgents")

        words, of_agents = words_of(search), self._agent_search
        of_agents.keep(self._state.agents.keys())

        def known() -> list[tuple[str, Agent | Quarantined]]:
            aside = {q.key: q for q in self._state.quarantined.values() if q.kind == AGENT}
            found: dict[str, Agent | Quarantined] = {**aside, **self._state.agents}
            return sorted(found.items(), key=lambda item: item[0])

        return self._pages.page(
            caller.taker,
            page,
            lambda: self._sorted.get("agents", sort, AGENT_KEYS, known) if sort else known(),
            lambda item: (
                item[0].startswith(id_prefix) and (not words or of_agents.has(item, words))
            ),
            lambda item: agent_view(item[1], may, self._state.frameworks),
            of="agents",
        )

    def frameworks(
        self,
        caller: Caller,
        page: PageRequest,
        id_prefix: str = "",
        *,
        completed: bool = False,
        serving_jobs: bool = False,
    ) -> Listing[pb.FrameworkView]:
        """Frameworks by id: those of which the caller may read one of the roles.

        Of one that serves jobs these are all whose jobs it takes: who may not see it could not
        submit the first job of a role, in which it is only while it has one.
        """
        may = self.permits.readable(caller, "Operator.ListFrameworks")

        def items() -> list[Framework]:
            found = dict(self._state.frameworks)
            if completed:
                found |= self._state.completed_frameworks
            return [framework for _, framework in sorted(found.items())]

        return self._pages.page(
            caller.taker,
            page,
            items,
            lambda framework: (
                framework.framework_id.startswith(id_prefix)
                and (bool(framework.info.jobs_address) or not serving_jobs)
                and (
                    any(role in may for role in framework.roles)
                    or roles_taken(framework.info).overlaps(may)
                )
            ),
            lambda framework: framework_view(self._core.allocator, framework, may),
            of="frameworks",
        )

    def tasks(self, caller: Caller, page: PageRequest, wanted: TaskFilter) -> Listing[pb.TaskView]:
        """Tasks by framework, as they were launched, then those that have ended.

        What is in their environments, and their data, only who may `read-env` sees.
        """
        state = self._state
        may = self.permits.readable(caller, "Operator.ListTasks")
        words = words_of(wanted.search)
        may_env = roles_for(state.policy, caller, Verb.READ_ENV)
        checks = wanted.to_checks()
        is_named = every(checks)
        if not may.every:
            checks.append(lambda task: task.role in may)
        if words:
            checks.append(task_search(state, words))
        self._uses.keep(state.agents.keys())

        def frameworks() -> list[Framework]:
            every_one = (*state.frameworks.values(), *state.completed_frameworks.values())
            named = wanted.framework_id
            return [one for one in every_one if named in ("", one.framework_id)]

        @cache
        def known() -> list[Task]:
            out: list[Task] = []
            for framework in frameworks():
                out.extend(framework.tasks.values())
            if wanted.completed:
                out.extend(state.completed_tasks.values())
            return out

        def ids() -> list[str]:
            """Return the ids of the known tasks, from the maps: to ask each task takes longer."""
            out: list[str] = []
            for framework in frameworks():
                out.extend(framework.tasks)
            if wanted.completed:
                out.extend(task_id for _, task_id in state.completed_tasks)
            return out

        def named() -> list[Task]:
            found, prefix = known(), wanted.id_prefix
            if prefix:  # as the tasks themselves are asked, it takes three times as long
                found = list(compress(found, [one.startswith(prefix) for one in ids()]))
            return list(filter(is_named, found))

        def items() -> Items[Task]:
            if not wanted.sort:
                return known()
            if wanted.is_narrow:
                return sorted_by(wanted.sort, task_keys(state), named())
            # Those in states that many are in are soon found among all, which others look at, too.
            states = frozenset(wanted.states)
            if states and are_many_in(states, known()):
                states = frozenset()

            @cache
            def are_in_states() -> list[bool]:
                return [task.state in states for task in known()]

            def in_states(some: list[Any]) -> list[Any]:
                """Keep what belongs to tasks in these states, of a list with an item for each."""
                return list(compress(some, are_in_states())) if states else some

            what = ("tasks", wanted.framework_id, wanted.completed, states)
            looks = wanted.called or words or wanted.states or not may.every
            first = SORTED_NEXT if looks else SORTED_FIRST
            by_id = wanted.sort.removeprefix("-") == "id"
            return self._sorted.get(
                what,
                wanted.sort,
                task_keys(state),
                lambda: in_states(known()),
                first,
                (lambda: in_states(ids())) if by_id else None,
            )

        return self._pages.page(
            caller.taker,
            page,
            items,
            every(checks),
            lambda task: task_view(state, task, self._uses, with_env=task.role in may_env),
            of="tasks",
        )

    def failed(self, may: Roles) -> Iterator[pb.TaskView]:
        """Tasks of these roles that have failed, the latest first, as far back as is looked."""
        state = self._state
        for task in islice(reversed(state.completed_tasks.values()), LOOKED_BACK):
            if task.state in FAILURES and task.role in may:
                yield task_view(state, task, self._uses, with_env=False)

    def offers(self, caller: Caller, page: PageRequest) -> Listing[pb.OfferView]:
        """Offers that are not answered yet, the oldest first."""
        state = self._state
        may = self.permits.readable(caller, "Operator.ListOffers")
        return self._pages.page(
            caller.taker,
            page,
            lambda: list(state.offers.values()),
            lambda offer: offer.offer_id in state.offers and offer.role in may,
            lambda offer: offer_view(state, offer),
            of="offers",
        )

    def roles(self, caller: Caller) -> list[pb.RoleView]:
        """Roles by name: those in use, and those with terms of their own."""
        may = self.permits.readable(caller, "Operator.ListRoles")
        views = role_views(self._state, self._core.allocator)
        return [view for view in views if view.role in may]

    async def accounting(
        self, caller: Caller, page: PageRequest, request: pb.GetAccountingRequest
    ) -> Listing[pb.AccountingRow]:
        """What was used, of the roles that the caller may read. Raises RequestError."""
        may = self.permits.readable(caller, "Operator.GetAccounting")

        rows: list[tuple[accounted.Group, Sums]] = []
        if not page.token:  # all days may be a second's work: the leader goes on meanwhile
            days = accounted.copied(self._state.accounts.seen(accounting.at(self._clock())))
            rows = await in_thread(accounted.groups, days, request, may)
        # What is added up is of these roles, and is looked at no more.
        of = ("accounting", may)
        return self._pages.page(
            caller.taker, page, lambda: rows, lambda row: True, accounted.row_view, of=of
        )

    def look(self, caller: Caller) -> Look:
        """One thing at a time, of the roles that the caller may read. Raises RequestError."""
        may = self.permits.readable(caller, "Operator.ListTasks")
        return Look(self._core, may, self.permits.where(caller, Verb.READ_ENV))

    def explain(
        self,
        caller: Caller,
        framework_id: str,
        needs: Iterable[types_pb2.Resource] = (),
        agent_id: str = "",
    ) -> pb.ExplainFrameworkResponse:
        """Why a framework is not offered more, in the roles that the caller may read.

        Raises RequestError.
        """
        may = self.permits.readable(caller, "Operator.ExplainFramework")
        framework = self._state.frameworks.get(framework_id)
        if framework is None:
            raise not_found(f"there is no framework {framework_id[:255]}")
        if not any(role in may for role in framework.roles):
            self.permits.check(caller, "Operator.ExplainFramework", framework.roles)
        try:
            needed = from_proto(needs).quantities
        except ResourceError as error:
            raise invalid(f"needs: {error}") from None
        now_s = self._clock().mono_s
        said = explanation(
            self._core.allocator, self._state, framework, now_s, needed, agent_id, may
        )
        said.agents_awaited = self._core.agents_awaited
        return said

    def quarantined(
        self, caller: Caller, page: PageRequest, kind: str = "", key: str = ""
    ) -> Listing[pb.QuarantinedRecord]:
        """Records that cannot be handled; one with what is stored, if it is asked for by name."""
        self.permits.check(caller, "Operator.ListQuarantinedRecords")
        one = bool(kind or key)
        return self._pages.page(
            caller.taker,
            page,
            lambda: list(self._state.quarantined.values()),
            lambda aside: not one or (aside.kind, aside.key) == (kind, key),
            lambda aside: quarantined_view(aside, whole=one),
            of="quarantined",
        )

    def roles_of_task(self, framework_id: str, task_id: str) -> tuple[str, ...]:
        """The role of a task; of one that is not known every role, since it may be of any.

        The roles of its framework say nothing of it: they may be others than when it ran.
        """
        key = (framework_id, task_id)
        task = self._state.find_task(*key) or self._state.completed_tasks.get(key)
        return (task.role,) if task is not None else (EVERY,)

    def task_in(self, agent_id: str, container_id: str) -> Task | None:
        """The task that runs in a container of an agent, by what the agent has said of it."""
        agent = self._state.agents.get(agent_id)
        for task in agent.tasks.values() if agent is not None else ():
            if (told := task.status) is not None and told.container_id == container_id:
                return task
        return None

    def whereabouts(self, caller: Caller, framework_id: str, task_id: str) -> tuple[str, str]:
        """Return the framework of a task and the agent that has it, or had it last.

        It is looked for among those of which the caller may read. Without `framework_id` no other
        framework may have a task of that id. Raises RequestError.
        """
        state, may = self._state, self.permits.readable(caller, "Operator.ListTasks")
        frameworks = (*state.frameworks.values(), *state.completed_frameworks.values())
        live = (framework.tasks.get(task_id) for framework in frameworks)
        ended = (task for key, task in state.completed_tasks.items() if key[1] == task_id)
        found = {
            task.key: task
            for task in (*live, *ended)
            if task is not None and task.role in may and framework_id in ("", task.framework_id)
        }
        if len(found) > 1:
            of = ", ".join(name for name, _ in list(found)[:10])
            raise invalid(
                f"{len(found)} frameworks have a task {quoted(task_id)}: name one of them, {of}"
            )
        if not found:
            raise not_found(f"there is no task {quoted(task_id)}: /v1/tasks lists them")
        (task,) = found.values()
        return task.framework_id, task.agent_id

    def webhooks(self, caller: Caller, problems: Mapping[str, str]) -> list[pb.WebhookView]:
        """Webhooks by name, with why they have not taken something. Raises RequestError."""
        self.permits.check(caller, "Operator.ListWebhooks")
        return [
            pb.WebhookView(
                name=name,
                url=hook.url,
                kinds=[pb.ClusterEvent.Kind.Name(kind) for kind in hook.kinds],
                secret_role=hook.secret[0],
                secret_name=hook.secret[1],
                link_local=hook.link_local,
                set_by=hook.set_by,
                set_at_s=hook.set_at_s,
                problem=problems.get(name, ""),
            )
            for name, hook in sorted(self._state.webhooks().items())
        ]

    def webhook(self, name: str) -> WebhookRecord:
        """A webhook. Raises RequestError (NOT_FOUND)."""
        found = self._state.webhooks().get(name)
        if found is None:
            raise not_found(
                f"there is no webhook {quoted(name)}; `pymesos-cli webhook list` lists them"
            )
        return found

    def agent(self, agent_id: str) -> Agent:
        """One agent. Raises RequestError."""
        agent = self._state.agents.get(agent_id)
        if agent is None:
            raise not_found(f"this master knows no agent {agent_id[:255]!r}")
        return agent
