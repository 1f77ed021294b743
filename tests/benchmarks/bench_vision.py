"""Speed of the vision side at Ovis2-1B's size: one 448 px tile through AIMv2-large and the visual tokenizer, in float32.

    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python tests/benchmarks/bench_vision.py [--layers 24] [--rounds 3]

Ours, transformers eager and transformers sdpa take turns in one process, on the same drawn weights; the ratios of their medians
are what travels between machines. Nothing is asserted.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from transformers.models.ovis2.configuration_ovis2 import Ovis2VisionConfig as ReferenceConfig
from transformers.models.ovis2.modeling_ovis2 import Ovis2VisionModel

from ovis2_ref.config import Ovis2VisionConfig
from ovis2_ref.convention import TRANSFORMERS
from ovis2_ref.vision.encoder import vision_transformer
from ovis2_ref.vision.visual_tokenizer import merge_patches, visual_tokens


def main() -> None:
    """Draw a model, time the three in turns, print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    config = Ovis2VisionConfig(
        num_hidden_layers=arguments.layers, image_size=448, hidden_stride=2, vocab_size=65536, rms_norm_eps=1e-5
    )
    values = config.to_dict()
    values.pop("tau")
    reference = Ovis2VisionModel(ReferenceConfig(**values)).eval()
    weights = {f"model.vision_tower.{name}": tensor.numpy() for name, tensor in reference.state_dict().items()}
    pixels = np.random.default_rng(0).standard_normal((1, 3, 448, 448)).astype(np.float32)

    def ours() -> np.ndarray:
        features = vision_transformer(pixels, weights, "model.vision_tower.transformer", config, TRANSFORMERS).features
        return visual_tokens(merge_patches(features, 2), weights, "model.vision_tower", config, TRANSFORMERS)

    def theirs(attention: str) -> np.ndarray:
        reference.set_attn_implementation(attention)
        with torch.no_grad():
            return reference(torch.from_numpy(pixels)).pooler_output.numpy()

    runs: dict[str, Callable[[], np.ndarray]] = {
        "ovis2_ref": ours,
        "transformers, eager": lambda: theirs("eager"),
        "transformers, sdpa": lambda: theirs("sdpa"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    answers = {name: run() for name, run in runs.items()}  # the first run of each warms up
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    for name, taken in seconds.items():
        ratio = median(taken) / median(seconds["ovis2_ref"])
        off = np.abs(answers[name] - answers["ovis2_ref"]).max()
        print(f"{name:20} {median(taken):7.2f} s   {ratio:5.2f} of ours   (largest difference {off:.1e})")


if __name__ == "__main__":
    main()
