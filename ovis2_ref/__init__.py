"""Ovis2, the vision-language model, whole, in readable array code: NumPy on a CPU, CuPy on an NVIDIA GPU.

The public names, their arguments and results are those of transformers:

    from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor

    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    processor = Ovis2Processor.from_pretrained(TINY)
    inputs = processor(images=picture, text=prompt, return_tensors="np")
    ids = model.generate(**inputs, max_new_tokens=32)
    print(processor.batch_decode(ids, skip_special_tokens=True)[0])
"""

from typing import Any

from ovis2_ref.compat.batch_feature import BatchFeature
from ovis2_ref.compat.criteria import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from ovis2_ref.compat.missing import PACKAGE, missing_feature
from ovis2_ref.compat.randomness import set_seed
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from ovis2_ref.errors import MissingNameError, OvisError
from ovis2_ref.generation.config import GenerationConfig
from ovis2_ref.generation.streamers import TextIteratorStreamer, TextStreamer
from ovis2_ref.image.processor import Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.model import Ovis2ForConditionalGeneration, Ovis2Model
from ovis2_ref.runtime.taps import recording
from ovis2_ref.runtime.threads import num_threads, set_num_threads
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.text.tokenizer import Tokenizer
from ovis2_ref.tiny import TINY

__version__ = "0.2.0"

AutoConfig = Ovis2Config
AutoImageProcessor = Ovis2ImageProcessor
AutoModel = Ovis2Model
AutoModelForImageTextToText = Ovis2ForConditionalGeneration
AutoProcessor = Ovis2Processor
AutoTokenizer = Qwen2Tokenizer = Qwen2TokenizerFast = Tokenizer
Ovis2ImageProcessorPil = Ovis2ImageProcessor

__all__ = [
    "TINY",
    "AutoConfig",
    "AutoImageProcessor",
    "AutoModel",
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


def __getattr__(name: str) -> Any:
    """Raise an `ImportError` that says what to use instead of a name that only transformers has."""
    if any(name in names.split() for names in PACKAGE.values()):
        raise MissingNameError(missing_feature("ovis2_ref", name, "transformers", PACKAGE))
    raise AttributeError(f"ovis2_ref has no {name!r}")
