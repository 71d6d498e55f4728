"""Fixtures over the backends, and a line at the end that tells which ones ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("support", "differences")

from support import DEVICES, PORTABLE, REQUIRED, open_backend, smallest_standard  # noqa: E402

from rnn_xp.backend import Backend  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    unknown = [name for name in REQUIRED if name not in DEVICES]
    if unknown:
        raise pytest.UsageError(f"RNN_XP_TEST_BACKENDS must name some of {', '.join(DEVICES)}; got {unknown}")


def marked(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.gpu) if name == "cupy" else name


@pytest.fixture(params=[marked(name) for name in ("numpy", "numpy_readonly", *PORTABLE)])
def backend_name(request: pytest.FixtureRequest, record_property: Any) -> Iterator[str]:
    """Each backend's name; array_api_strict is cut down to the smallest standard."""
    record_property("backend", request.param)
    with smallest_standard(request.param):
        yield request.param


@pytest.fixture
def backend(backend_name: str) -> Backend:
    """Each backend in float64."""
    return open_backend(backend_name)


@pytest.fixture
def xp(backend: Backend) -> Any:
    """The namespace of `backend`."""
    return backend.xp


@pytest.fixture
def numpy64() -> Backend:
    """NumPy in float64."""
    return open_backend("numpy")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    ran = {value for report in reports for name, value in report.user_properties if name == "backend"}
    if ran:
        absent = [name for name in DEVICES if name not in ran]
        terminalreporter.write_line(
            f"backends tested: {', '.join(name for name in DEVICES if name in ran)}"
            + (f" (not: {', '.join(absent)})" if absent else "")
        )
