"""Random numbers for scripts: one seed for all generators, and torch's draws for a caller who uses torch."""

import random
from typing import Any

import numpy as np

from ovis2_ref.compat.tensors import to_array, to_tensor, torch_module


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seed Python's, NumPy's and, where it is imported, torch's random numbers. Everything else here is deterministic."""
    random.seed(seed)
    np.random.seed(seed)
    torch = torch_module()
    if torch is not None:
        torch.manual_seed(seed)


class TorchGenerator:
    """Draws with torch's random numbers: a caller who gave tensors gets the tokens that transformers draws for the same seed."""

    def choose(self, scores: Any) -> Any:
        """Return one token of each row, drawn from softmax(scores); -1 where softmax gives no distribution."""
        return self.choose_several(scores, 1)[:, 0]

    def choose_several(self, scores: Any, k: int) -> Any:
        """Return k different choices of each row, each drawn from softmax(scores) of those left."""
        torch: Any = torch_module()
        probabilities = torch.softmax(to_tensor(scores), dim=-1)
        if not bool(torch.isfinite(probabilities).all()):
            return np.full((len(scores), k), -1)
        return to_array(torch.multinomial(probabilities, num_samples=k))
