"""The tiny checkpoint in both programs: the same pictures, prompts and weights give the same pixel values, ids and answers."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.tiny.training.evaluate import questions_about

SCENES = range(100)


@pytest.fixture(scope="module")
def ours() -> tuple[Ovis2ForConditionalGeneration, Ovis2Processor]:
    return Ovis2ForConditionalGeneration.from_pretrained(TINY), Ovis2Processor.from_pretrained(TINY)


@pytest.fixture(scope="module")
def theirs() -> tuple[transformers.Ovis2ForConditionalGeneration, transformers.Ovis2Processor]:
    image_processor = getattr(transformers, "Ovis2ImageProcessorPil", transformers.Ovis2ImageProcessor)
    processor = transformers.Ovis2Processor(
        image_processor.from_pretrained(TINY),
        transformers.AutoTokenizer.from_pretrained(TINY),
        chat_template=(TINY / "chat_template.jinja").read_text(),
        image_seq_length=16,
    )
    return transformers.Ovis2ForConditionalGeneration.from_pretrained(TINY).eval(), processor


def test_greedy_answers(ours, theirs):
    """A request about each of a hundred scenes: equal pixel values, prompts and answers, token by token."""
    (model, processor), (reference, reference_processor) = ours, theirs
    differing = []
    for seed in SCENES:
        scene, questions = questions_about(seed)
        question = questions[seed % len(questions)]
        content = [{"type": "image"}, {"type": "text", "text": question.request}]
        text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        picture = Image.fromarray(scene.render())
        inputs = processor(images=picture, text=text, return_tensors="np")
        expected = reference_processor(images=picture, text=text, return_tensors="pt")
        for name in ("input_ids", "attention_mask", "pixel_values"):
            np.testing.assert_array_equal(inputs[name], expected[name].numpy(), err_msg=f"scene {seed}: {name}")
        with torch.no_grad():
            ids = reference.generate(**expected, max_new_tokens=32, do_sample=False).numpy()
        if not np.array_equal(model.generate(**inputs, max_new_tokens=32, do_sample=False), ids):
            differing.append((seed, question.request))
    assert not differing


def test_cache_changes_nothing(ours):
    """Generation with the cache gives the tokens that generation without it gives."""
    model, processor = ours
    for seed in SCENES[:10]:
        scene, questions = questions_about(seed)
        text = f"<|im_start|>user\n<image>\n{questions[0].request}<|im_end|>\n<|im_start|>assistant\n"
        inputs = processor(images=scene.render(), text=text, return_tensors="np")
        with_cache, without = (
            model.generate(**inputs, max_new_tokens=16, use_cache=cached) for cached in (True, False)
        )
        np.testing.assert_array_equal(with_cache, without)


def test_users_script(ours, theirs):
    """transformers' own Ovis2 example, its import swapped: the decoded text is the same."""
    prompt = "<|im_start|>user\n<image>\nDescribe the image.<|im_end|>\n<|im_start|>assistant\n"
    picture = Image.fromarray(questions_about(3)[0].render())
    texts = []
    for (model, processor), kind in ((ours, "np"), (theirs, "pt")):
        inputs = processor(images=picture, text=prompt, return_tensors=kind)
        generate_ids = model.generate(**inputs, max_new_tokens=15)
        texts.append(processor.batch_decode(generate_ids, skip_special_tokens=True)[0])
    assert texts[0] == texts[1]
