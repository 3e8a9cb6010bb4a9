"""The names that a template looks up, found without computing anything that it says.

Jinja's own search has constants folded as if the template were compiled: a line of it is enough to
take all memory there is. Here nothing is folded. This module takes long to load.
"""

from __future__ import annotations

from typing import NoReturn

from jinja2 import Environment, nodes
from jinja2.compiler import Frame
from jinja2.meta import TrackingCodeGenerator


def names_looked_up(environment: Environment, tree: nodes.Template) -> set[str]:
    """Return the names that a template does not define itself. Raises TemplateSyntaxError."""
    search = _Search(environment)
    search.visit(tree)
    return search.undeclared_identifiers


class _Search(TrackingCodeGenerator):
    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.optimizer = None

    def _output_child_to_const(self, node: object, frame: object, finalize: object) -> NoReturn:
        raise nodes.Impossible

    def visit_EvalContextModifier(  # noqa: N802
        self, node: nodes.EvalContextModifier, frame: Frame
    ) -> None:
        for keyword in node.options:
            self.visit(keyword.value, frame)
