"""Settings of this floor: no database, no clock, and hypothesis without a stop watch on busy machines."""

from hypothesis import HealthCheck, settings

settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
