"""Settings of this floor: no database, no clock, and hypothesis without a stop watch on busy machines.

`HYPOTHESIS_PROFILE=thorough` asks each property two thousand times.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("unit", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("unit"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unit"))
