"""With CI=true a skipped test is a failed test: there, everything that a test needs is installed.

On a person's machine a test whose real client or server is missing skips with its reason.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

pytest_plugins = ["tests.services.object_stores"]

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)


def forbid_skip(report: R, *, in_ci: bool) -> R:
    """`report`, turned into a failure where it is a skip and `in_ci`. An expected failure stays as it is."""
    if in_ci and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which CI forbids: {reason}"
    return report


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"


LONG_LIMIT_S = 36_000
"""For a test in its long form; the limit in pyproject.toml is that of the short one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With CNR_LONG no test is cut off by a limit that was made for less work. A marker of its own counts still."""
    if os.environ.get("CNR_LONG"):
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(LONG_LIMIT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return forbid_skip((yield), in_ci=_in_ci())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return forbid_skip((yield), in_ci=_in_ci())


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named after their argument: a gzip has the time in it, and xdist's workers must agree on names."""
    return argname if isinstance(val, bytes) else None
