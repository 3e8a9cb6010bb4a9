"""What operators read: views of the leader's state, without any transport."""

from pymesos_master.queries.ordering import TaskFilter
from pymesos_master.queries.paging import Listing, PageRequest
from pymesos_master.queries.queries import Queries

__all__ = ["Listing", "PageRequest", "Queries", "TaskFilter"]
