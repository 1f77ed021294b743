"""Names that transformers' classes have and ours don't: one table for each class, from what to do instead to the names."""

from collections.abc import Mapping
from typing import Any

from ovis2_ref.errors import MissingFeatureError

Missing = Mapping[str, str]
"""What to do instead -> the names, separated by spaces."""

NO_GRADIENTS = "ovis2_ref computes forward passes only; train with transformers, and load the folder that it saves"
FUNCTIONS = "the model is plain functions over `model.weights`; ovis2_ref.recording() shows every value inside by name"
WEIGHTS = "change a copy of the mapping `model.weights`, and make a model of it: type(model)(config, weights)"
ONE_DEVICE = (
    'one process computes on one device; choose it with device="cuda:1", and stream=True for a model that doesn\'t fit'
)
ADAPTERS = "load the model with the adapter: from_pretrained(folder, adapter=its_folder)"
HUB = "there is no hub access; save_pretrained writes a folder, which `hf upload` uploads"
FULL_TYPES = "weights are float32, float64, float16 or bfloat16; load the model with dtype="
NOT_BATCHED = "call generate with a padded batch, or once for each prompt"
INTERNAL = "it is a part of transformers' own machinery; leave it out"
NO_VIDEO = "Ovis2 takes pictures and text; give the frames of a clip as images"
NO_CODE = "nothing from a checkpoint is executed; leave it out"
CALL = "call the object itself, or `preprocess`"

MODEL: Missing = {
    NO_GRADIENTS: "zero_grad gradient_checkpointing_enable activation_checkpointing_enable activation_checkpointing_disable "
    "enable_input_require_grads disable_input_require_grads loss_function loss_type is_activation_checkpointing "
    "init_weights initialize_weights post_init smart_apply get_compiled_call backward",
    FUNCTIONS: "modules children named_modules named_children get_submodule set_submodule add_module register_module apply "
    "register_forward_hook register_forward_pre_hook register_backward_hook register_full_backward_hook "
    "register_full_backward_pre_hook register_buffer register_parameter register_load_state_dict_post_hook "
    "register_load_state_dict_pre_hook register_state_dict_post_hook register_state_dict_pre_hook buffers named_buffers "
    "get_buffer named_non_persistent_buffers get_parameter get_parameter_or_buffer get_decoder get_encoder set_decoder "
    "set_encoder vision_tower language_model visual_embeddings_table retrieve_modules_from_names prepare_inputs_for_generation "
    "can_record_outputs get_position_embeddings extra_repr base_model",
    WEIGHTS: "load_state_dict set_input_embeddings set_output_embeddings resize_token_embeddings resize_position_embeddings "
    "get_extra_state set_extra_state get_expanded_tied_weights_keys all_tied_weights_keys mark_tied_weights_as_initialized",
    ONE_DEVICE: "xpu ipu mtia share_memory to_empty tp_plan tp_size pp_plan ep_plan fsdp_plan fsdp_size supports_tp_plan "
    "supports_pp_plan supports_context_parallel maybe_distribute_model prepare_distribute_model init_parallel_plans "
    "save_distributed_checkpoint gather_sharded_state_dict_for_save barrier_after_gathered_checkpoint_save "
    "should_save_on_this_rank is_distributed_loading_by_transformers hf_device_map",
    ADAPTERS: "add_adapter set_adapter delete_adapter load_adapter active_adapters enable_adapters disable_adapters "
    "enable_peft_hotswap get_adapter_state_dict",
    HUB: "push_to_hub add_model_tags model_tags",
    FULL_TYPES: "type dequantize quantize",
    NOT_BATCHED: "generate_batch continuous_batching_context_manager init_continuous_batching "
    "destroy_cached_continuous_batching_manager",
    NO_CODE: "load_custom_generate adjust_generation_fn is_custom_code is_remote_code register_for_auto_class",
    INTERNAL: "compile dummy_inputs dump_patches call_super_init T_destination set_use_kernels "
    "get_correct_attn_implementation get_correct_experts_implementation get_experts_implementation set_experts_implementation "
    "use_kernels kernel_config is_backend_compatible get_init_context warn_if_padding_and_no_attention_mask heal_tokens "
    "output_modalities generation_config_class",
}

TOKENIZER: Missing = {
    HUB: "push_to_hub",
    NO_CODE: "register_for_auto_class parse_response get_response_parser response_template",
    "save_pretrained writes all files": "save_chat_templates save_vocabulary",
    "its vocabulary is that of the checkpoint": "train_new_from_iterator convert_added_tokens convert_to_native_format "
    "update_post_processor slow_tokenizer_class can_save_slow_tokenizer vocab_files_names pretrained_vocab_files_map",
    "give padding and truncation to the call": "set_truncation_and_padding max_len_single_sentence max_len_sentences_pair",
    "nothing is put around a text, and control tokens in it are taken as such": "add_bos_token add_eos_token add_prefix_space "
    "split_special_tokens get_special_tokens_mask chat_control_tokens build_inputs_with_special_tokens",
    "use the methods of this class; the `tokenizers` library reads tokenizer.json": "backend backend_tokenizer model decoder",
    "use apply_chat_template": "encode_message_with_chat_template",
    INTERNAL: "SPECIAL_TOKENS_ATTRIBUTES deprecation_warnings files_loaded init_inputs init_kwargs verbose clean_up_tokenization "
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
}

PROCESSOR: Missing = {
    HUB: "push_to_hub",
    NO_CODE: "register_for_auto_class get_possibly_dynamic_module parse_response",
    NO_VIDEO: "replace_video_token replace_audio_token video_processor feature_extractor audio_processor audio_tokenizer",
    "use from_pretrained": "from_args_and_dict get_processor_dict validate_init_kwargs check_argument_for_proper_class",
    "call the processor": "prepare_inputs_layout validate_inputs get_text_with_replacements",
    "use post_process_image_text_to_text": "post_process_multimodal_output",
    INTERNAL: "skip_tensor_conversion valid_processor_kwargs",
}

IMAGE_PROCESSOR: Missing = {
    HUB: "push_to_hub",
    NO_CODE: "register_for_auto_class",
    CALL: "process_image convert_to_rgb",
    "tiles are of one size already": "pad pad_size do_pad",
    "use from_pretrained": "get_image_processor_dict",
    INTERNAL: "backend device disable_grouping default_to_square return_tensors valid_kwargs image_seq_length",
}

GENERATION_CONFIG: Missing = {
    HUB: "push_to_hub",
    "the options that are set decide: do_sample, num_beams": "get_generation_mode",
    INTERNAL: "extra_output_flags dict_dtype_to_str",
}

CONFIG: Missing = {
    HUB: "push_to_hub",
    NO_CODE: "register_for_auto_class is_custom_code is_remote_code",
    "give output_attentions and output_hidden_states to the call": "output_attentions output_hidden_states "
    "validate_output_attentions",
    "give return_dict to the call": "return_dict use_return_dict",
    "make a new configuration, type(config).from_dict(values)": "update update_from_string",
    "values are checked when a configuration is made": "validate validate_architecture validate_layer_type validate_rope "
    "validate_token_ids",
    "the rotary settings are text_config.rope_parameters": "rope_scaling rope_theta standardize_rope_params "
    "convert_rope_params_to_dict default_theta default_rope_type nested_rope_parameter_keys ignore_keys_at_rope_validation",
    "there are no gradients, so no dropout and no drawing of weights": "attention_dropout initializer_range",
    "the model's `dtype` is that of its weights": "dtype torch_dtype dict_dtype_to_str",
    "Ovis2 has no classes": "id2label label2id num_labels problem_type",
    "use from_pretrained": "get_config_dict",
    ONE_DEVICE: "base_model_tp_plan base_model_pp_plan base_model_ep_plan base_model_fsdp_plan",
    INTERNAL: "allow_global_per_layer_attribute_access architectures attribute_map base_config_key chunk_size_feed_forward "
    "default_config_fields extra_config_files extra_files get_mtp_config is_encoder_decoder is_heterogeneous name_or_path "
    "per_layer_attributes per_layer_config serialize_explicit_per_layer_config sub_configs sub_configs_defaults "
    "transformers_version use_cache keys_to_ignore_at_inference pad_token_id bos_token_id eos_token_id tie_word_embeddings",
}

OUTPUT: Missing = {
    "an output isn't changed; make a dictionary of it, dict(output)": "clear copy fromkeys move_to_end pop popitem setdefault "
    "update",
    "the visual embeddings are image_hidden_states; get_image_features returns what led to them": "image_outputs",
    NO_VIDEO: "audio_outputs video_outputs",
}

PACKAGE: Missing = {
    NO_GRADIENTS: "Trainer TrainingArguments Seq2SeqTrainer Seq2SeqTrainingArguments get_scheduler",
    "use AutoModelForImageTextToText or Ovis2ForConditionalGeneration": "AutoModelForVision2Seq "
    "AutoModelForMultimodalLM AutoModelForSeq2SeqLM AutoModelForPreTraining PreTrainedModel GenerationMixin",
    "call a processor and a model": "pipeline Pipeline ImageTextToTextPipeline",
    FULL_TYPES: "BitsAndBytesConfig GPTQConfig AwqConfig QuantoConfig TorchAoConfig HqqConfig",
    "leave past_key_values out; to continue, pass an output's": "DynamicCache StaticCache Cache QuantizedCache OffloadedCache",
    "use AutoProcessor or Ovis2Processor": "ProcessorMixin PreTrainedTokenizer PreTrainedTokenizerFast "
    "PreTrainedTokenizerBase BaseImageProcessor ImageProcessingMixin",
    "use Ovis2Config": "PretrainedConfig PreTrainedConfig",
    "use Python's warnings and logging": "logging",
    NO_VIDEO: "AutoVideoProcessor AutoFeatureExtractor",
}


NONE: Missing = {}


class Counterpart:
    """A class with a counterpart in transformers. A name that only the counterpart has raises an error that says what to do."""

    counterpart = ""
    missing = NONE  # without an annotation: a configuration's annotations are its fields

    def __getattr__(self, name: str) -> Any:
        owner: Any = type(self)
        if hasattr(owner, name):  # a property, in which another attribute was missing: let it say which
            return object.__getattribute__(self, name)
        raise MissingFeatureError(missing_feature(owner.__name__, name, owner.counterpart, owner.missing))


def missing_feature(owner: str, name: str, counterpart: str, table: Missing) -> str:
    """Return the message for a name that `owner` doesn't have."""
    for instead, names in table.items():
        if name in names.split():
            return f"{owner}.{name} exists in {counterpart} and not here: {instead}"
    return f"{owner} has no attribute {name!r}"
