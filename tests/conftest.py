"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tests.nursery"]

# How long an example takes depends on what else the machine does; a test fails for what it finds, not for that.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")
