"""The exercises in order of difficulty, a module for each."""

from ovis2_ref.tools.exercises.catalogue import (
    covering_area,
    cut_tiles,
    layer_norm,
    pixel_values,
    rms_norm,
    softmax,
    split_regions,
    swiglu,
)

EXERCISES = tuple(
    module.EXERCISE
    for module in (
        *(covering_area, split_regions, cut_tiles, pixel_values),
        *(rms_norm, softmax, swiglu, layer_norm),
    )
)
