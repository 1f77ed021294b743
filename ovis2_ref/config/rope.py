"""Check the settings of the rotary embedding (`rope_parameters` of a configuration)."""

from typing import Any

from ovis2_ref.files.checks import is_number, shown

SMALLEST, LARGEST = 1e-30, 1e30
"""Numbers beyond these don't fit float32, in which the frequencies are computed."""

NEEDED: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
}
"""Every kind, and the numbers that it needs."""
OPTIONAL = (
    "original_max_position_embeddings",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "attention_factor",
)
"""Optional numbers: the length of texts that the model was trained on, and YaRN's settings."""


def rope_fault(rope: dict[str, Any], head_dim: int) -> str | None:
    """Return a message that says what is wrong with the settings `rope` for heads of `head_dim` numbers; None if nothing is."""
    kind = rope.get("rope_type")
    if not isinstance(kind, str) or kind not in NEEDED:
        return f"rope_type={shown(kind, 40)} is not one of {', '.join(NEEDED)}"
    needed = {name: rope.get(name) for name in ("rope_theta", *NEEDED[kind])}
    optional = {name: rope[name] for name in OPTIONAL if rope.get(name) is not None}
    if kind == "yarn" and "original_max_position_embeddings" in optional and needed["factor"] is None:
        del needed["factor"]  # transformers: max_position_embeddings / original_max_position_embeddings
    for name, value in {**needed, **optional}.items():
        if not (is_number(value) and SMALLEST < value < LARGEST):
            return f"{name}={shown(value, 40)} of the rope_type {kind!r} should be a number above 0"
    if rope.get("partial_rotary_factor") not in (None, 1):
        return "partial_rotary_factor is set; Qwen2 rotates whole heads only"
    if kind == "dynamic" and (rope["factor"] < 1 or head_dim == 2):
        return "the rope_type 'dynamic' needs a factor of at least 1, and a head_dim above 2"
    if kind == "yarn" and (rope["rope_theta"] <= 1 or not isinstance(rope.get("truncate", True), bool)):
        return "the rope_type 'yarn' needs a rope_theta above 1, and true or false for truncate"
    if kind == "llama3" and rope["low_freq_factor"] >= rope["high_freq_factor"]:
        return "the rope_type 'llama3' needs a low_freq_factor below its high_freq_factor"
    return None
