"""The whole suite runs with every shape in every signature checked, on CPU threads that don't compete, without any network."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import HealthCheck, Phase, settings
from jaxtyping import install_import_hook

import tests.shape_checking  # noqa: F401  the hook below imports no more than the package `tests`

install_import_hook("ovis2_ref", "tests.shape_checking.checked")

COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "phases": [phase for phase in Phase if phase is not Phase.explain],
}
settings.register_profile("default", max_examples=25, derandomize=True, **COMMON)
settings.register_profile("quick", max_examples=5, derandomize=True, **{**COMMON, "phases": [Phase.generate]})
settings.register_profile("long", max_examples=1000, **COMMON)
settings.register_profile("long_models", max_examples=200, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
