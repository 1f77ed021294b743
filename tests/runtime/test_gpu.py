"""Products and kernels on the stand-in for CuPy: what they take, and that they copy nothing."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from ovis2_ref.errors import InputError
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.ops import linear, rms_norm
from ovis2_ref.runtime.gpu import cublas
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny import TINY
from tests.standin.module import standin_cupy


def test_products_copy_no_operand() -> None:
    """Heads are multiplied where the linear layers and the cache have them."""
    copied = []

    def spy(x: Any, cupy: Any, readable: Any = cublas._readable) -> Any:
        result = readable(x, cupy)
        copied.append(result[0] is not x)
        return result

    arguments = {
        "input_ids": np.array([[0, 4, 5, 6, 7], [5, 6, 7, 8, 9]]),
        "attention_mask": np.array([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]]),
    }
    with standin_cupy(), patch.object(cublas, "_readable", spy):
        model = Ovis2ForConditionalGeneration.from_pretrained(TINY, device="cuda")
        vision = model.config.vision_config
        model.get_image_features(np.zeros((2, 3, vision.image_size, vision.image_size)))
        for way in ("dynamic", "static"):
            model.generate(**arguments, max_new_tokens=3, cache_implementation=way)
    assert copied
    assert not any(copied)


@pytest.mark.parametrize("operation", [linear, lambda x, w: rms_norm(x, w, 1e-5)], ids=["linear", "rms_norm"])
def test_arrays_of_two_types_are_refused(operation: Any) -> None:
    """NumPy would convert one of them; a GPU would read its bytes as other numbers."""
    with standin_cupy() as cupy:
        w = Weights({"weight": cupy.ones((4, 4), dtype=np.float16)})
        with pytest.raises(InputError, match="float32 and float16"):
            operation(cupy.ones((2, 4), dtype=np.float32), w)
