"""Options of transformers' decoding that are not supported here."""

UNSUPPORTED = {
    "assistant_confidence_threshold": None,
    "assistant_early_exit": None,
    "assistant_ensemble_weight": None,
    "constraints": None,
    "diversity_penalty": 0.0,
    "dola_layers": None,
    "force_words_ids": None,
    "forced_bos_token_id": None,
    "guidance_scale": 1,
    "num_beam_groups": 1,
    "penalty_alpha": None,
    "prompt_lookup_num_tokens": None,
    "token_healing": False,
    "top_h": None,
    "use_mtp": False,
    "watermarking_config": None,
}
"""Options of transformers that change the answer and are not supported here, with the value that does nothing."""

ASSISTED = (
    *("assistant_lookbehind", "continuous_batching_config", "max_matching_ngram_size", "num_assistant_tokens"),
    *("num_assistant_tokens_schedule", "speculation_type", "target_lookbehind"),
)
"""Options of assisted decoding, which do nothing without the option that switches it on."""
