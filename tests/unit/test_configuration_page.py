"""The jobs of docs/configuration.md are taken as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pymesos_binpack.jobfiles.parsing import load_document, parse_job

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text("utf-8")
JOBS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_there_are_some() -> None:
    assert JOBS


@pytest.mark.parametrize("text", JOBS)
def test_each_is_taken(text: str) -> None:
    assert parse_job(load_document(text)).tasks
