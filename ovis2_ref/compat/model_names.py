"""The methods of a model that transformers' scripts call: device and type, weights by name, moving and converting."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD, expected_shapes
from ovis2_ref.compat.devices import Device, compute_dtype, device_name, device_of, script_dtype
from ovis2_ref.compat.missing import MODEL, Counterpart
from ovis2_ref.compat.tensors import script_array, with_tensors
from ovis2_ref.config import Ovis2Config
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import check_flags, shown
from ovis2_ref.runtime.arrays import Array, device_module, to_device

NO_GRADIENTS = "ovis2_ref computes forward passes only; train with transformers, and load the folder that it saves"
EMBEDDING_TABLES = ("embed_tokens.weight", "position_embedding.weight", "visual_embeddings_table.weight")


class MatrixFunction:
    """A weight matrix as a callable: the rows of some ids, or the scores of some states."""

    def __init__(self, weight: Any, apply: Any) -> None:
        """Take the matrix, and the function `apply` that a call runs."""
        self.weight, self._apply = script_array(weight), apply

    def __call__(self, x: Any) -> Any:
        """Apply the matrix."""
        return with_tensors(self._apply)(x)

    def __repr__(self) -> str:
        return f"MatrixFunction{tuple(self.weight.shape)}"


class ModelNames(Counterpart):
    """The attributes and small methods of transformers' models. Methods that move or convert change the model, and return it."""

    counterpart, missing = "transformers' models", MODEL
    config: Ovis2Config
    weights: Mapping[str, Array]
    xp: Any
    name_or_path = ""
    base_model_prefix, main_input_name, input_modalities = "model", "input_ids", ("image", "text")
    config_class = Ovis2Config
    training = is_gradient_checkpointing = is_quantized = supports_gradient_checkpointing = False
    parameter_prefix = ""
    """The prefix that transformers leaves out of weight names."""

    @property
    def device(self) -> Device:
        """The device that the model computes on, "cpu" or "cuda:0"."""
        return device_of(self.xp, self.weights[EMBEDDINGS])

    @property
    def compute_dtype(self) -> np.dtype:
        """The type that the model computes in."""
        return self.weights[EMBEDDINGS].dtype

    @property
    def dtype(self) -> Any:
        """The type that the model computes in: torch's where the caller has imported torch, else NumPy's."""
        return script_dtype(self.compute_dtype)

    @property
    def visual_vocab_size(self) -> int:
        """Visual words, indicators included."""
        return self.config.vision_config.vocab_size

    @property
    def vocab_size(self) -> int:
        """Tokens of the text vocabulary."""
        return self.config.vocab_size

    @property
    def visual_indicator_token_ids(self) -> list[int]:
        """The ids of the indicators in a prompt: start, grid, column, row, end."""
        return self.config.visual_indicator_token_ids

    def can_generate(self) -> bool:
        """Return True if the model has an output head, so that it can generate."""
        return not self.parameter_prefix

    def eval(self) -> Self:
        """Return the model unchanged, since it is never in training mode."""
        return self

    def train(self, mode: bool = True) -> Self:
        """Raise `InputError`, unless `mode` is False."""
        check_flags(mode=mode)
        if mode:
            raise InputError(f"train: {NO_GRADIENTS}")
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Raise `InputError`, unless `requires_grad` is False."""
        return self.train(requires_grad)

    def gradient_checkpointing_disable(self) -> None:
        """Do nothing: there are no gradients."""

    def tie_weights(self, **_: Any) -> None:
        """Do nothing: a tied output head is the text table itself."""

    def to(self, *arguments: Any, **options: Any) -> Self:
        """Move the model to a device, convert it to a type, or both: `to("cuda")`, `to(torch.bfloat16)`."""
        device, dtype = options.pop("device", None), options.pop("dtype", None)
        options.pop("non_blocking", None)
        if options:
            raise InputError(f"to has no argument {next(iter(options))!r}; give device or dtype")
        for argument in arguments:
            if (isinstance(argument, str | int) and not _names_dtype(argument)) or type(argument).__name__ == "device":
                device = argument
            elif argument is not None:
                dtype = argument
        return self._converted(device, dtype)

    def _converted(self, device: Any, dtype: Any) -> Self:
        xp = self.xp if device is None else device_module(device_name(device))
        kind = self.compute_dtype if dtype is None else compute_dtype(dtype)
        if (xp, kind) != (self.xp, self.compute_dtype):
            if not isinstance(self.weights, dict):
                raise InputError("streamed weights stay where they are: give device and dtype to from_pretrained")
            self.weights.update({name: to_device(w, xp).astype(kind, copy=False) for name, w in self.weights.items()})
        return self

    def cpu(self) -> Self:
        """Move the model to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move the model to a GPU."""
        return self.to("cuda" if device is None else device)

    def float(self) -> Self:
        """Convert the model to float32."""
        return self.to(dtype="float32")

    def half(self) -> Self:
        """Convert the model to float16."""
        return self.to(dtype="float16")

    def bfloat16(self) -> Self:
        """Convert the model to bfloat16."""
        return self.to(dtype="bfloat16")

    def double(self) -> Self:
        """Convert the model to float64."""
        return self.to(dtype="float64")

    def named_parameters(self, *_: Any, **__: Any) -> Iterator[tuple[str, Any]]:
        """Yield each weight with its name; tensors that share its memory where the caller has imported torch, else arrays."""
        for name in expected_shapes(self.config):
            if not (self.parameter_prefix and name == HEAD):
                yield name.removeprefix(self.parameter_prefix), script_array(self.weights[name])

    def parameters(self, *_: Any, **__: Any) -> Iterator[Any]:
        """Return each weight, as in `named_parameters`."""
        return (weight for _, weight in self.named_parameters())

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the weights by name, a tied output head under its own name too."""
        weights = dict(self.named_parameters())
        if not self.parameter_prefix and HEAD not in weights:
            weights[HEAD] = weights[EMBEDDINGS]
        return weights

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Return how many numbers the weights are, without the embedding tables if they are excluded."""
        check_flags(only_trainable=only_trainable, exclude_embeddings=exclude_embeddings)
        sizes = {name: int(np.prod(shape)) for name, shape in expected_shapes(self.config).items()}
        if self.parameter_prefix:
            sizes.pop(HEAD, None)
        return sum(n for name, n in sizes.items() if not (exclude_embeddings and name.endswith(EMBEDDING_TABLES)))

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Return the bytes of the weights."""
        return self.num_parameters() * self.compute_dtype.itemsize

    def get_output_embeddings(self) -> MatrixFunction | None:
        """Return the output head as a callable with a `weight`, None in a model without one."""
        head = getattr(self, "lm_head", None)
        name = EMBEDDINGS if self.config.tie_word_embeddings else HEAD
        return None if self.parameter_prefix else MatrixFunction(self.weights[name], head)

    def __repr__(self) -> str:
        vision, text = self.config.vision_config, self.config.text_config
        return "\n".join(
            (
                f"{type(self).__name__}: {self.num_parameters():,} parameters, {self.compute_dtype} on {self.device}",
                f"  tiles {vision.image_size}x{vision.image_size} -> {vision.patches_per_side**2} patches of "
                f"{vision.patch_size}x{vision.patch_size}",
                f"  vision transformer: {vision.num_hidden_layers} blocks, hidden {vision.hidden_size}, "
                f"{vision.num_attention_heads} heads",
                f"  visual tokenizer: {vision.tokens_per_tile} tokens a tile over {vision.vocab_size} visual words",
                f"  language model: {text.num_hidden_layers} layers, hidden {text.hidden_size}, {text.num_attention_heads} "
                f"heads on {text.num_key_value_heads}, vocabulary {text.vocab_size}",
            )
        )


def _names_dtype(argument: Any) -> bool:
    return isinstance(argument, str) and argument.removeprefix("torch.") in (
        *("float16", "float32", "float64", "bfloat16", "half", "float", "double", "auto"),
    )


def check_weights(weights: Any, model: str) -> None:
    """Raise `InputError` for a model without weights."""
    if not isinstance(weights, Mapping):
        raise InputError(
            f"{model} needs weights by name, not {shown(weights)}: use {model}.from_pretrained(folder), or "
            f"{model}.random(config, seed) for drawn ones"
        )
