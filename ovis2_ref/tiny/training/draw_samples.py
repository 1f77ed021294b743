"""Draw the sample pictures again: `python -m ovis2_ref.tiny.training.draw_samples`.

They are the first scenes from seed 1000 on (which training never saw) that are cut into each of four grids, the
first of them the first such scene with three shapes.
"""

from PIL import Image

from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tiny.training.scenes import draw_scene

SAMPLES = {"three_shapes": 1015, "single_tile": 1003, "two_tiles": 1013, "nine_tiles": 1012}
"""Each sample's name and its scene's seed."""


def main() -> None:
    """Draw every sample into its file."""
    for name, seed in SAMPLES.items():
        Image.fromarray(draw_scene(seed).render()).save(SAMPLE.with_name(f"{name}.png"), optimize=True)


if __name__ == "__main__":
    main()
