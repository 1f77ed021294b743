"""A small configuration that several files of this room use."""

import pytest

from ovis2_ref.config import Ovis2Config
from tests.checkpoint.folders import small_config as make_small_config


@pytest.fixture(scope="session")
def small_config() -> Ovis2Config:
    """Two layers of each kind, five visual indicators, an untied head."""
    return make_small_config()
