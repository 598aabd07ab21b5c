"""How hypothesis behaves here: a slow machine is no failure of a test."""

from hypothesis import HealthCheck, settings

settings.register_profile("usercenter", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("usercenter")
