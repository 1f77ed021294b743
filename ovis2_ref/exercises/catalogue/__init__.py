"""The exercises in order of difficulty, a module for each."""

from importlib import import_module

from ovis2_ref.exercises.exercise import Exercise

NAMES = (
    *(
        "covering_area",
        "cubic",
        "rms_norm",
        "softmax",
        "layer_norm",
        "pixel_values",
        "split_regions",
        "choose_grid",
        "swiglu",
    ),
    *("visual_tokens", "expected_embedding", "scaled_attention", "fixed_point", "resize_pass", "image_layout"),
    *("split_heads", "cut_tiles", "patches", "merge_patches", "merge_embeddings", "sliding_window", "causal_mask"),
    *("rotary_tables", "rotate", "grouped_query_attention", "greedy", "repetition_penalty", "draw_token", "top_p"),
    *("update_cache", "resize_matrix", "round_to_bfloat16", "beam_search", "dequantize"),
)

EXERCISES: tuple[Exercise, ...] = tuple(import_module(f"{__name__}.{name}").EXERCISE for name in NAMES)
