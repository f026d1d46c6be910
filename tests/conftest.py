"""Settings of all tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["tests.nursery"]

# How long an example takes depends on what else the machine does; a test fails for what it finds, not for that.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: last, it would keep one process busy while the others have nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Processes that have nothing left to do take tests from others, unless another way is asked for."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(scope="session", autouse=True)
def no_real_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What programs keep of a user is kept elsewhere, also by fixtures that are made before a test."""
    directory = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_STATE_HOME", str(directory))
        yield directory


@pytest.fixture(autouse=True)
def state_home(no_real_state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory for that, of one test."""
    # Not one of pytest's, which lists thousands of them for the next number.
    directory = Path(tempfile.mkdtemp(dir=no_real_state))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory))
    return directory


@pytest.fixture
def homeless(state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user as a container may have one: no HOME, and a number that /etc/passwd does not know."""
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.chdir(tmp_path)
