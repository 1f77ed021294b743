"""The configuration of a checkpoint: `config.json` as three plain records that are checked when they are made.

Fields, defaults and their meaning are those of transformers' `Ovis2VisionConfig`, `Qwen2Config` and `Ovis2Config`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.compat.config_names import ConfigNames
from ovis2_ref.config.presets import preset
from ovis2_ref.config.rope import rope_fault
from ovis2_ref.errors import ConfigError
from ovis2_ref.files.checks import choice, mapping, shown
from ovis2_ref.files.records import Record, bounded

TOKENIZE_FUNCTIONS = ("softmax", "st_argmax", "gumbel_argmax")
LAYER_TYPES = ("full_attention", "sliding_attention")
MOST_LAYERS = 1000
"""Limit, so that a corrupt config can't exhaust memory with the names of weights."""
MOST_PATCHES = 4096
"""Patches of a tile, 64 x 64, four times those of the released models: attention's memory grows with their square."""


@dataclass
class Ovis2VisionConfig(Record, ConfigNames):
    """The vision transformer (AIMv2) and the visual tokenizer on top of it."""

    # The picture.
    image_size: int = bounded(224)
    """Pixels of a tile's side."""
    patch_size: int = bounded(14)
    """Pixels of a patch's side."""
    num_channels: int = bounded(3)
    """Colours of a pixel."""

    # The vision transformer.
    hidden_size: int = bounded(1024)
    """Numbers of a patch's state."""
    intermediate_size: int = bounded(2816)
    """Width of the feed-forward layer."""
    num_hidden_layers: int = bounded(24)
    """Blocks."""
    num_attention_heads: int = bounded(8)
    """Heads, among which the state is split."""
    hidden_act: str = "silu"
    """Activation in the feed-forward layer, by transformers' names."""
    rms_norm_eps: float = 1e-5
    """Added to the mean square in every RMSNorm."""
    qkv_bias: bool = False
    """Whether the four products of attention have a bias."""
    mlp_bias: bool = False
    """Whether the three of the feed-forward layer have one."""

    # The visual tokenizer.
    vocab_size: int = bounded(16384)
    """Rows of the visual embedding table: visual words and indicators."""
    num_visual_indicator_tokens: int = 5
    """The table's last rows, which mark the grid in the prompt."""
    hidden_stride: int = bounded(1)
    """Side of the square of patches that becomes one visual token."""
    tokenize_function: str = "softmax"
    """How logits become a visual token: softmax, st_argmax or gumbel_argmax."""
    tau: float = 1.0
    """Temperature of gumbel_argmax under convention "original"; transformers ignores it."""
    model_type: str = "ovis2_vision"
    """The name of this kind of configuration."""

    def __post_init__(self) -> None:
        self.expect_types()
        self.expect_bounds()
        self.model_type = self.model_type or "ovis2_vision"  # transformers 4.56 writes an empty one
        self.expect(self.model_type == "ovis2_vision", f"model_type={self.model_type!r} is not ovis2_vision")
        self.expect(
            self.num_hidden_layers <= MOST_LAYERS,
            f"num_hidden_layers={self.num_hidden_layers} is too many; at most {MOST_LAYERS} are taken",
        )
        self.expect(self.rms_norm_eps >= 0, f"rms_norm_eps={self.rms_norm_eps} is below 0")
        self.expect(
            self.hidden_size % self.num_attention_heads == 0,
            f"hidden_size={self.hidden_size} can't be split among num_attention_heads={self.num_attention_heads}",
        )
        self.expect(
            self.patch_size <= self.image_size, f"patch_size={self.patch_size} exceeds image_size={self.image_size}"
        )
        self.expect(
            self.patches_per_side**2 <= MOST_PATCHES,
            f"image_size={self.image_size} with patch_size={self.patch_size} makes {self.patches_per_side**2} patches of a tile; "
            f"at most {MOST_PATCHES} are taken",
        )
        self.expect(
            0 <= self.num_visual_indicator_tokens < self.vocab_size,
            f"num_visual_indicator_tokens={self.num_visual_indicator_tokens} leaves no visual words of {self.vocab_size}",
        )
        choice("hidden_act", self.hidden_act, sorted(ACTIVATIONS), self.fault)
        choice("tokenize_function", self.tokenize_function, TOKENIZE_FUNCTIONS, self.fault)
        self.expect(0 < self.tau < float("inf"), f"tau={self.tau} should be a number above 0")

    @property
    def head_dim(self) -> int:
        """The width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def patches_per_side(self) -> int:
        """Patches along one side of a tile; pixels beyond the last whole patch are not looked at."""
        return self.image_size // self.patch_size

    @property
    def tokens_per_tile(self) -> int:
        """Visual tokens of one tile: the patches, `hidden_stride` x `hidden_stride` of them merged into one."""
        return (-(-self.patches_per_side // self.hidden_stride)) ** 2


@dataclass
class Qwen2Config(Record, ConfigNames):
    """The language model."""

    # The layers.
    vocab_size: int = bounded(151936)
    """Rows of the text table, and tokens that a logit is computed for."""
    hidden_size: int = bounded(4096)
    """Numbers of a token's state."""
    intermediate_size: int = bounded(22016)
    """Width of the feed-forward layer."""
    num_hidden_layers: int = bounded(32)
    """Layers."""
    hidden_act: str = "silu"
    """Activation in the feed-forward layer, by transformers' names."""
    rms_norm_eps: float = 1e-6
    """Added to the mean square in every RMSNorm."""
    tie_word_embeddings: bool = False
    """Whether a language model by itself uses the text table as its output head; `Ovis2Config` decides for the whole."""

    # Attention.
    num_attention_heads: int = bounded(32)
    """Heads of queries."""
    num_key_value_heads: int = bounded(32)
    """Heads of keys and values, each shared by as many heads of queries; None for as many of each."""
    head_dim: int = bounded(None)
    """Width of a head; None for hidden_size / num_attention_heads."""
    use_sliding_window: bool = False
    """Whether any layer looks back by a window only."""
    sliding_window: int | None = bounded(4096)
    """Tokens of that window, the token itself included; None without one."""
    max_window_layers: int = 28
    """The first layer with a window, where `layer_types` doesn't say."""
    layer_types: list[str] = None  # type: ignore[assignment]  # filled in
    """For each layer "full_attention" or "sliding_attention"; None to follow from the fields above."""

    # Positions and tokens.
    max_position_embeddings: int = bounded(32768)
    """Tokens of the longest text that the model was trained on."""
    rope_parameters: dict[str, Any] = None  # type: ignore[assignment]  # filled in
    """The rotary embedding: rope_theta, rope_type, and what that type needs (`config.rope`)."""
    pad_token_id: int | None = None
    """The token that fills a batch."""
    bos_token_id: int | None = None
    """The token that begins a text; Qwen2 has none."""
    eos_token_id: int | list[int] | None = None
    """The tokens that end an answer, for a model without a generation_config.json."""
    model_type: str = "qwen2"
    """The name of this kind of configuration."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration in `values`. `rope_theta` and `rope_scaling` (before transformers 5) become
        `rope_parameters`.
        """
        values = mapping("the values of Qwen2Config", values, ConfigError)
        rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
        if not isinstance(rope, Mapping):
            raise ConfigError(f"Qwen2Config: the rope's settings are {shown(rope)}; they should be an object")
        values = {**values, "rope_parameters": {"rope_theta": values.get("rope_theta", 10000.0), **rope}}
        return super().from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as `config.json` spells it; the rope's settings both as transformers 5 and as 4 does."""
        scaling = {key: value for key, value in self.rope_parameters.items() if key != "rope_theta"}
        return {
            **super().to_dict(),
            "rope_theta": self.rope_parameters["rope_theta"],
            "rope_scaling": None if scaling == {"rope_type": "default"} else scaling,
        }

    def __post_init__(self) -> None:
        self.expect_bounds("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        self.expect(
            self.num_hidden_layers <= MOST_LAYERS,
            f"num_hidden_layers={self.num_hidden_layers} is too many; at most {MOST_LAYERS} are taken",
        )
        self.expect_types("max_window_layers", "use_sliding_window")
        self._fill_in()
        self.expect_types()
        self.expect_bounds()
        self.expect(self.model_type == "qwen2", f"model_type={self.model_type!r}; Ovis2's language model is qwen2")
        self.expect(
            self.num_attention_heads % self.num_key_value_heads == 0,
            f"num_attention_heads={self.num_attention_heads} can't share num_key_value_heads={self.num_key_value_heads}",
        )
        self.expect(self.head_dim % 2 == 0, f"head_dim={self.head_dim} is odd; the rotary embedding turns pairs")
        fault = rope_fault(self.rope_parameters, self.head_dim)
        self.expect(fault is None, f"rope_parameters: {fault}")
        self.expect(self.rms_norm_eps >= 0, f"rms_norm_eps={self.rms_norm_eps} is below 0")
        choice("hidden_act", self.hidden_act, sorted(ACTIVATIONS), self.fault)
        self.expect(
            len(self.layer_types) == self.num_hidden_layers,
            f"layer_types names {len(self.layer_types)} layers, num_hidden_layers={self.num_hidden_layers}",
        )
        self.expect(set(self.layer_types) <= set(LAYER_TYPES), f"layer_types holds others than {LAYER_TYPES}")
        self.expect(
            "sliding_attention" not in self.layer_types or self.sliding_window is not None,
            f"sliding_window={self.sliding_window} should be a whole number above 0",
        )

    def _fill_in(self) -> None:
        """Derive what is left open from the other fields, as transformers does."""
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.rope_parameters is None:
            self.rope_parameters = {}
        self.expect_types("rope_parameters")
        rope = dict(self.rope_parameters)
        rope.setdefault("rope_type", rope.pop("type", "default"))
        self.rope_parameters = {"rope_theta": 10000.0, **rope}
        self.sliding_window = self.sliding_window if self.use_sliding_window else None
        if self.layer_types is None:
            windowed = [
                self.sliding_window is not None and i >= self.max_window_layers for i in range(self.num_hidden_layers)
            ]
            self.layer_types = ["sliding_attention" if sliding else "full_attention" for sliding in windowed]


@dataclass
class Ovis2Config(Record, ConfigNames):
    """The whole model: vision, language, and the placeholder tokens that join them."""

    vision_config: Ovis2VisionConfig = field(default_factory=Ovis2VisionConfig)
    """The vision transformer and the visual tokenizer."""
    text_config: Qwen2Config = field(default_factory=Qwen2Config)
    """The language model."""
    image_token_id: int = 151665
    """The id that a visual embedding replaces, <IMG_ATOM>."""
    visual_indicator_token_ids: list[int] = field(default_factory=lambda: [151666, 151667, 151668, 151669, 151670])
    """The ids that the visual table's last rows replace, in their order: start, grid, column, row, end."""
    vocab_size: int = 151643
    """Tokens of the text vocabulary; the number of rows is `text_config.vocab_size`."""
    hidden_size: int = 1536
    """Numbers of a token's state, the language model's."""
    tie_word_embeddings: bool = True
    """Whether the text table is the output head, too."""
    model_type: str = "ovis2"
    """The name of this kind of configuration."""

    def __post_init__(self) -> None:
        if isinstance(self.vision_config, Mapping):
            self.vision_config = Ovis2VisionConfig.from_dict(self.vision_config)
        if isinstance(self.text_config, Mapping):
            self.text_config = Qwen2Config.from_dict(self.text_config)
        if isinstance(self.visual_indicator_token_ids, tuple):
            self.visual_indicator_token_ids = list(self.visual_indicator_token_ids)
        self.expect_types()
        self.expect(self.model_type == "ovis2", f"model_type={self.model_type!r} is not ovis2")
        self.expect(
            self.hidden_size == self.text_config.hidden_size,
            f"hidden_size={self.hidden_size} differs from the language model's {self.text_config.hidden_size}",
        )
        self.expect(
            len(self.visual_indicator_token_ids) == self.vision_config.num_visual_indicator_tokens,
            f"{len(self.visual_indicator_token_ids)} visual_indicator_token_ids for "
            f"num_visual_indicator_tokens={self.vision_config.num_visual_indicator_tokens}",
        )

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return the configuration of a released size, "Ovis2-1B" to "Ovis2-34B", in transformers' layout.

        Raises `ConfigError` for another name.
        """
        return cls.from_dict(preset(name))
