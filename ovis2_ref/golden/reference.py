"""Load the reference of a golden file: the model and the processor that it was recorded from, out of a checkpoint."""

from pathlib import Path

import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.record import fingerprint
from ovis2_ref.golden.stages import Reference
from ovis2_ref.image.processor import Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.text.processor import Ovis2Processor


def load_reference(golden: Golden, checkpoint: str | Path, *, stream: bool = False) -> Reference:
    """Return the reference for the run in `golden`, with the weights in the folder `checkpoint`; `stream` leaves them on disk.

    Raises `InputError` if these are not the weights that the run was made with.
    """
    metadata = golden.metadata
    convention = metadata.get("convention", "transformers")
    model = Ovis2ForConditionalGeneration.from_pretrained(
        checkpoint, dtype=metadata.get("dtype", "float32"), convention=convention, stream=stream
    )
    if metadata.get("weights", recorded := fingerprint(model.weights)) != recorded:
        raise InputError(
            f"the golden file was not made with the weights in {checkpoint}; give their folder with --checkpoint"
        )
    processor = Ovis2Processor.from_pretrained(checkpoint, convention=convention)
    options = metadata.get("image_processor", processor.image_processor.to_dict())
    fast = options.get("image_processor_type") == "Ovis2ImageProcessorFast"
    images = (Ovis2ImageProcessorFast if fast else Ovis2ImageProcessor).from_dict(options, convention)
    generation = metadata.get("generation_config", {})
    stop = generation.get("eos_token_id")
    return Reference(
        Weights(model.weights),
        model.config,
        model.convention,
        processor=Ovis2Processor(
            images, processor.tokenizer, image_seq_length=processor.image_seq_length, convention=convention
        ),
        prompt=metadata.get("prompt"),
        repetition_penalty=float(generation.get("repetition_penalty") or 1.0),
        stop_tokens=tuple(np.atleast_1d(stop).tolist() if stop is not None else ()),
        pad_token=generation.get("pad_token_id", processor.tokenizer.pad_token_id),
    )
