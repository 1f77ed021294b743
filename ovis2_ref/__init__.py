"""Ovis2, the vision-language model, whole, in readable array code: NumPy on a CPU, CuPy on an NVIDIA GPU.

The public names, their arguments and results are those of transformers:

    from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor

    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    processor = Ovis2Processor.from_pretrained(TINY)
    inputs = processor(images=picture, text=prompt, return_tensors="np")
    ids = model.generate(**inputs, max_new_tokens=32)
    print(processor.batch_decode(ids, skip_special_tokens=True)[0])
"""

from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from ovis2_ref.errors import OvisError
from ovis2_ref.image.processor import Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.model import Ovis2ForConditionalGeneration, Ovis2Model
from ovis2_ref.runtime.taps import recording
from ovis2_ref.runtime.threads import num_threads, set_num_threads
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.tiny import TINY

__version__ = "0.2.0"

__all__ = [
    "TINY",
    "Ovis2Config",
    "Ovis2ForConditionalGeneration",
    "Ovis2ImageProcessor",
    "Ovis2ImageProcessorFast",
    "Ovis2Model",
    "Ovis2Processor",
    "Ovis2VisionConfig",
    "OvisError",
    "Qwen2Config",
    "num_threads",
    "recording",
    "set_num_threads",
]
