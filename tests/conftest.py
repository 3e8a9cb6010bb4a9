"""What all tests share. With STRICT=1 (CI) a skip is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

STRICT = os.environ.get("STRICT") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"STRICT=1: a skip is a failure ({call.excinfo and call.excinfo.value})"
    return report
