"""The arguments of transformers' calls that change nothing here, or are not supported."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Idle(NamedTuple):
    """The values of an argument that change nothing here, and what to do instead of giving another. None is always idle."""

    values: tuple[Any, ...]
    instead: str


class Ignored:
    """An argument of which no value changes anything here."""


IGNORED = Ignored()
IdleArguments = Mapping[str, Idle | Ignored]

HUB = "files are read from a local folder only: download the checkpoint first, and give its folder"
FULL_WEIGHTS = "weights are read as they are stored and computed in `dtype`; leave it out"
NO_CODE = "code from a checkpoint is never executed; leave it out"

MODEL_LOADING: IdleArguments = {
    **dict.fromkeys(
        (
            *("low_cpu_mem_usage", "local_files_only", "trust_remote_code", "token", "proxies"),
            *("max_memory", "offload_folder", "offload_state_dict", "offload_buffers", "weights_only", "use_kernels"),
            *("_fast_init", "use_auth_token", "experts_implementation", "mirror", "resume_download"),
        ),
        IGNORED,
    ),
    "use_safetensors": Idle((True,), "pickled weights are never read; convert the checkpoint to safetensors"),
    "force_download": Idle((False,), HUB),
    "subfolder": Idle(("",), "give the folder itself"),
    "variant": Idle((), "give a folder whose weights are in model.safetensors or its shards"),
    "ignore_mismatched_sizes": Idle((False,), "every weight has to fit config.json"),
    "quantization_config": Idle((), FULL_WEIGHTS),
    "load_in_8bit": Idle((False,), FULL_WEIGHTS),
    "load_in_4bit": Idle((False,), FULL_WEIGHTS),
    "gguf_file": Idle((), "convert the checkpoint to safetensors"),
    "state_dict": Idle((), "make the model with Ovis2ForConditionalGeneration(config, weights)"),
    "output_loading_info": Idle((False,), "missing or superfluous weights are an error that names them"),
    "adapter_name": Idle(("default",), "give adapter=, the adapter's folder"),
    "adapter_kwargs": Idle(({},), "give adapter=, the adapter's folder"),
    "key_mapping": Idle((), "rename the weights in the file"),
    "tp_plan": Idle((), "one process computes on one device"),
    "tp_size": Idle((1,), "one process computes on one device"),
    "device_mesh": Idle((), "one process computes on one device"),
    "distributed_config": Idle((), "one process computes on one device"),
    "custom_generate": Idle((), NO_CODE),
    "code_revision": Idle(("main",), NO_CODE),
    "kernel_config": Idle((), "leave it out"),
    "fusion_config": Idle((), "leave it out"),
    "allow_all_kernels": Idle((False,), NO_CODE),
    "strict": IGNORED,
}
"""`from_pretrained` of a model."""

PROCESSOR_LOADING: IdleArguments = {
    **dict.fromkeys(
        ("local_files_only", "trust_remote_code", "token", "proxies", "use_auth_token", "legacy", "resume_download"),
        IGNORED,
    ),
    "force_download": Idle((False,), HUB),
    "subfolder": Idle(("",), "give the folder itself"),
    "return_unused_kwargs": Idle((False,), "unknown arguments are an error that names them"),
    "backend": Idle(("pil", "torchvision", "tokenizers"), 'use "pil" or "torchvision"'),
    "device_map": IGNORED,
    "dtype": IGNORED,
    "torch_dtype": IGNORED,
}
"""`from_pretrained` of a processor, an image processor or a tokenizer."""

SAVING: IdleArguments = {
    **dict.fromkeys(
        ("safe_serialization", "is_main_process", "token", "save_original_format", "save_jinja_files"), IGNORED
    ),
    "push_to_hub": Idle((False,), "there is no hub access; upload the folder with `hf upload`"),
    "state_dict": Idle((), "the model's own weights are saved"),
    "max_shard_size": IGNORED,
    "variant": Idle((), "leave it out"),
    "save_function": Idle((), "leave it out"),
    "save_peft_format": IGNORED,
    "legacy_format": Idle((False,), "leave it out"),
    "filename_prefix": Idle((), "leave it out"),
}
"""`save_pretrained`."""

TEXT_OPTIONS: IdleArguments = {
    **dict.fromkeys(("add_special_tokens", "verbose", "legacy", "clean_up_tokenization_spaces"), IGNORED),
    "stride": Idle((0,), "cut long texts yourself"),
    "is_split_into_words": Idle((False,), "give whole texts"),
    "return_overflowing_tokens": Idle((False,), "cut long texts yourself"),
    "text_pair": Idle((), "join the two texts"),
    "text_target": Idle((), "tokenise it in a separate call"),
    "text_pair_target": Idle((), "tokenise it in a separate call"),
    "tokenizer_kwargs": Idle(({},), "give its entries as arguments"),
    "split_special_tokens": Idle((False,), "special tokens in a text are always taken as such"),
    "sanitize_control_tokens": Idle(
        (False,), "control tokens in a text are always taken as such: take them out yourself"
    ),
    "return_text_replacement_offsets": Idle((False,), "leave it out"),
}
"""A tokenizer's call. No special tokens are added around a text (Qwen2 has none), so `add_special_tokens` changes nothing."""

IMAGE_OPTIONS: IdleArguments = {
    **dict.fromkeys(("device", "disable_grouping", "default_to_square", "image_seq_length"), IGNORED),
    "do_pad": Idle((False,), "tiles are of one size already"),
    "pad_size": Idle((), "tiles are of one size already"),
}
"""An image processor's call."""

PROCESSOR_OPTIONS: IdleArguments = {
    "videos": Idle(([],), "give the frames of a clip as images, with an <image> for each"),
    "audio": Idle(([],), "Ovis2 takes pictures and text"),
    "videos_kwargs": Idle(({},), "give the frames of a clip as images"),
    "audio_kwargs": Idle(({},), "Ovis2 takes pictures and text"),
    "return_metadata": IGNORED,
    "load_audio_from_video": IGNORED,
}
"""A processor's call, beside what its tokenizer and its image processor take."""

TEMPLATE_OPTIONS: IdleArguments = dict.fromkeys(
    ("tools", "documents", "xml_tools", "enable_thinking", "template_kwargs"), IGNORED
)
"""`apply_chat_template`: arguments that templates of other models use, and Ovis2's doesn't."""

FORWARD: IdleArguments = {
    **dict.fromkeys(("cache_position", "return_loss", "num_items_in_batch", "is_first_iteration"), IGNORED),
    "token_type_ids": IGNORED,
    "mm_token_type_ids": IGNORED,
    "mm_encoder_outputs": Idle(({},), "give pixel_values"),
    "inputs": Idle((), "give input_ids"),
}
"""A model's forward pass."""

FEATURES: IdleArguments = {
    "return_dict": Idle((True,), "a record comes back; call its to_tuple()"),
    "output_attentions": Idle((False,), "ovis2_ref.recording() shows them"),
    "output_hidden_states": Idle((False,), "ovis2_ref.recording() shows them"),
}
"""A model's `get_image_features`."""

GENERATE: IdleArguments = {
    **dict.fromkeys(
        ("synced_gpus", "trust_remote_code", "logits_to_keep", "return_legacy_cache", "token_type_ids"), IGNORED
    ),
    **dict.fromkeys(
        ("mm_token_type_ids", "cache_position", "disable_compile", "compile_config", "cache_config"), IGNORED
    ),
    **dict.fromkeys(("transformers_version", "bos_token_id", "decoder_start_token_id", "is_assistant"), IGNORED),
    **dict.fromkeys(("max_cache_len", "prefill_chunk_size", "return_dict", "labels"), IGNORED),
    "assistant_model": Idle(
        (), "assisted decoding is not here: leave it out, the answer of greedy decoding is the same"
    ),
    "assistant_tokenizer": Idle((), "assisted decoding is not here: leave it out"),
    "negative_prompt_ids": Idle((), "leave it out: guidance is not here"),
    "negative_prompt_attention_mask": Idle((), "leave it out: guidance is not here"),
    "custom_generate": Idle((), "write the loop over model(**inputs) yourself"),
    "mm_encoder_outputs": Idle(({},), "give pixel_values"),
    "low_memory": Idle((False,), "leave it out"),
}
"""`generate`, beside the settings of decoding."""

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
