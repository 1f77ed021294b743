"""The whole suite runs with every shape in every signature checked, on CPU threads that don't compete, without any network."""

import os
from pathlib import Path

import pytest

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

QUICK = (
    *(
        "test_package",
        "test_ops",
        "runtime/test_arrays",
        "runtime/test_threads",
        "image/test_tiling",
        "image/test_resize",
    ),
    *(
        "text/test_chat",
        "text/test_layout",
        "text/test_tokenizer",
        "vision/test_visual_tokenizer",
        "language/test_masks",
    ),
    *("language/test_rope", "language/test_cache", "generation/test_processors", "generation/test_truncation"),
    *(
        "generation/test_settings",
        "checkpoint/test_safetensors_file",
        "checkpoint/test_refusals",
        "golden/test_matching",
    ),
    *("exercises/test_marking", "tools/test_costs", "tools/test_draw", "tiny/test_scenes", "test_examples"),
    *("hostile/test_bounded", "dropin/test_model_names", "standin/test_standin"),
)
"""The tests of `pytest -m quick`: a minute on two cores, something of every room."""


def pytest_configure(config: pytest.Config) -> None:
    """Draw few examples where only the quick tests are asked for."""
    if config.option.markexpr == "quick":
        settings.load_profile("quick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick tests."""
    folder = Path(__file__).parent
    for item in items:
        if str(item.path.relative_to(folder).with_suffix("")) in QUICK and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.quick)
