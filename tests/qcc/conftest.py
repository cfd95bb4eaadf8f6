"""Settings for the tests of the compiler."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

# The same examples at every run: a test that fails, fails for everybody. The first run of
# a program takes Paddle longer than any deadline.
settings.register_profile(
    "qcc",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
settings.load_profile("qcc")
