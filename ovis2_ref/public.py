"""The public names of the package, which `ovis2_ref/__init__.py` imports when one of them is first asked for."""

from pathlib import Path
from typing import Any

from ovis2_ref.compat.batch_feature import BatchFeature
from ovis2_ref.compat.criteria import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from ovis2_ref.compat.randomness import set_seed
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from ovis2_ref.errors import OvisError
from ovis2_ref.generation.config import GenerationConfig
from ovis2_ref.generation.streamers import TextIteratorStreamer, TextStreamer
from ovis2_ref.image.processor import Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.model import Ovis2ForConditionalGeneration, Ovis2Model
from ovis2_ref.runtime.taps import recording
from ovis2_ref.runtime.threads import num_threads, set_num_threads
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.text.tokenizer import Tokenizer
from ovis2_ref.tiny import TINY

AutoConfig = Ovis2Config
AutoImageProcessor = Ovis2ImageProcessor
AutoModel = Ovis2Model
AutoModelForImageTextToText = Ovis2ForConditionalGeneration
AutoProcessor = Ovis2Processor
AutoTokenizer = Qwen2Tokenizer = Qwen2TokenizerFast = Tokenizer
Ovis2ImageProcessorPil = Ovis2ImageProcessor


class AutoModelForCausalLM(Ovis2ForConditionalGeneration):
    """The name by which the authors' model card loads their code: the model in convention "original"."""

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> Any:  # type: ignore[override]
        """Load the model in `folder`, in convention "original" unless `options` name another."""
        return Ovis2ForConditionalGeneration.from_pretrained(folder, **{"convention": "original", **options})


__all__ = [
    "TINY",
    "AutoConfig",
    "AutoImageProcessor",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForImageTextToText",
    "AutoProcessor",
    "AutoTokenizer",
    "BatchFeature",
    "GenerationConfig",
    "LogitsProcessor",
    "LogitsProcessorList",
    "Ovis2Config",
    "Ovis2ForConditionalGeneration",
    "Ovis2ImageProcessor",
    "Ovis2ImageProcessorFast",
    "Ovis2ImageProcessorPil",
    "Ovis2Model",
    "Ovis2Processor",
    "Ovis2VisionConfig",
    "OvisError",
    "Qwen2Config",
    "Qwen2Tokenizer",
    "Qwen2TokenizerFast",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "TextIteratorStreamer",
    "TextStreamer",
    "num_threads",
    "recording",
    "set_num_threads",
    "set_seed",
]
