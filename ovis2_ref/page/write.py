"""`ovis2-ref page`: write the page of a picture and a question, of a golden file, or of two."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.files.writing import replacing
from ovis2_ref.image.loading import load_image
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.page.html import html_page
from ovis2_ref.page.live import (
    LONGEST_EDGE,
    fitted,
    half_weights,
    live_model,
    meanings,
    parameters,
    picture_data,
    questions,
    scenes_and_samples,
    why_not_live,
)
from ovis2_ref.page.sizes import image_options, model_data, sizes
from ovis2_ref.text.processor import Ovis2Processor

KNOWS = (
    "The tiny model knows coloured shapes alone, and a few questions about them. What else it sees or is asked, it takes "
    "for these."
)


def write_page(output: str | Path, pictures: Sequence[str | Path], prompt: str, checkpoint: str | Path) -> list[str]:
    """Write the page of the model in `checkpoint` that answers `prompt` about `pictures`; return what it leaves out.

    The page of a small model is the model itself; that of a larger one carries a recording of this one run.
    """
    model = Ovis2ForConditionalGeneration.from_pretrained(checkpoint)
    processor = Ovis2Processor.from_pretrained(checkpoint)
    images = [load_image(path) for path in pictures]
    reason = why_not_live(model, processor)
    if reason is None:
        data = live_data(images, prompt, checkpoint, model, processor)
        page = html_page(data, half_weights(model))
    else:
        from ovis2_ref.page.recording import record_run

        data = record_run(images, prompt, checkpoint, model, processor, reason)
        page = html_page(data)
    with replacing(output, InputError) as file:
        file.write(page.encode())
    return data["left_out"]


def live_data(
    images: Sequence[Any],
    prompt: str,
    checkpoint: str | Path,
    model: Ovis2ForConditionalGeneration,
    processor: Ovis2Processor,
) -> dict[str, Any]:
    """Return the data of a page that is the model."""
    arrays = [np.asarray(fitted(image)) for image in images]
    reduced = any(max(image.size) > LONGEST_EDGE for image in images)
    live = live_model(checkpoint, model, processor)
    known = meanings(checkpoint)
    return {
        "model": model_data(
            checkpoint, parameters(model.config), "in float16, computing in this page", KNOWS if known else ""
        ),
        "live": live,
        "config": live["config"],
        "sizes": sizes(model.config),
        "image": image_options(processor.image_processor),
        "question": prompt,
        "questions": questions(prompt) if known else [prompt],
        "pictures": [picture_data(array) for array in arrays],
        "meanings": known,
        "left_out": [f"Pictures were reduced to {LONGEST_EDGE} pixels along an edge."] if reduced else [],
        "port": None,
        **scenes_and_samples(arrays),
    }
