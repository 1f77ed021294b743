"""Run the page's JavaScript model under node, and the package's model with the same rounded weights beside it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.ops import softmax
from ovis2_ref.page.live import half_weights, live_model
from ovis2_ref.runtime.taps import recording
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.tiny import TINY
from ovis2_ref.tiny.training.questions import ASKERS, ask
from ovis2_ref.tiny.training.scenes import draw_scene

NODE = Path(__file__).parent / "node"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@cache
def tiny_processor() -> Ovis2Processor:
    return Ovis2Processor.from_pretrained(TINY)


@cache
def rounded_model() -> Ovis2ForConditionalGeneration:
    """Return the tiny model with its weights rounded to float16, in float64: the numbers that a page carries."""
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype="float64")
    weights = {name: w.astype(np.float16).astype(np.float64) for name, w in model.weights.items()}
    rounded = Ovis2ForConditionalGeneration(model.config, weights)
    rounded.generation_config = model.generation_config
    return rounded


def node(script: str, *arguments: Any) -> str:
    """Run a script of `node/` and return what it prints."""
    command = ["node", NODE / script, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout


def write_model(folder: Path, checkpoint: Path = TINY) -> None:
    """Write what a page carries of the checkpoint, for the scripts of `node/`."""
    model = Ovis2ForConditionalGeneration.from_pretrained(checkpoint)
    carried = live_model(checkpoint, model, Ovis2Processor.from_pretrained(checkpoint))
    (folder / "model.json").write_text(json.dumps(carried))
    (folder / "weights.bin").write_bytes(half_weights(model))


def job(folder: Path, name: str, pictures: Sequence[np.ndarray], question: str, **options: Any) -> dict[str, Any]:
    """Return a job for `run_jobs.mjs`, its pictures (height, width, 3) written into `folder`."""
    files = []
    for number, picture in enumerate(pictures):
        file = f"{name}-{number}.rgb"
        (folder / file).write_bytes(np.ascontiguousarray(picture).tobytes())
        files.append({"height": picture.shape[0], "width": picture.shape[1], "file": file})
    return {"pictures": files, "question": question, **options}


def run_jobs(folder: Path, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the JavaScript model on `jobs`."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    return json.loads(node("run_jobs.mjs", folder))


def inputs_for(pictures: Sequence[np.ndarray], question: str) -> Any:
    """Return the package's inputs for a question about pictures."""
    content = [{"type": "image"} for _ in pictures] + [{"type": "text", "text": question}]
    text = tiny_processor().apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return tiny_processor()(images=list(pictures) or None, text=text)


def drawn_question(seed: int) -> tuple[np.ndarray, str]:
    """Return the picture of a scene, and a question about it."""
    scene, rng = draw_scene(seed), np.random.default_rng(seed)
    kinds = list(ASKERS)
    question = None
    while question is None:
        question = ask(scene, kinds[rng.integers(len(kinds))], rng)
    return scene.render(), question.request


def changed_answer(
    pictures: Sequence[np.ndarray], question: str, changes: dict[str, list]
) -> tuple[list[int], list[float]]:
    """Return the answer's ids of the package's model under `changes` (model/model.mjs), and the chance of each.

    hidden: a mask in which only the token itself sees such a token; words and swapped: embeddings put together by hand; heads:
    columns of 0 in o_proj.
    """
    model, inputs = rounded_model(), inputs_for(pictures, question)
    config, weights = model.config, dict(model.weights)
    width = config.text_config.head_dim
    for layer, head in changes.get("heads", ()):
        name = f"model.language_model.layers.{layer}.self_attn.o_proj.weight"
        weights[name] = weights[name].copy()
        weights[name][:, head * width : (head + 1) * width] = 0
    model = Ovis2ForConditionalGeneration(config, weights)
    with recording() as values:
        model.model(**inputs)
    words, ids = values["model.vision_tower.tokens"].copy(), inputs["input_ids"][0].tolist()
    flat = words.reshape(-1, words.shape[-1])
    for atom, word in changes.get("words", ()):
        flat[atom] = np.eye(len(flat[atom]))[word]
    for a, b in changes.get("swapped", ()):
        words[[a, b]] = words[[b, a]]
    embeddings = values["model.language_model.inputs_embeds"].copy()
    table = weights["model.visual_embeddings_table.weight"]
    embeddings[0, np.array(ids) == config.image_token_id] = flat @ table[: flat.shape[1]]
    answer: list[int] = []
    chances: list[float] = []
    hidden = np.zeros(len(ids) + 64, bool)
    hidden[changes.get("hidden", [])] = True
    cache = None
    while len(answer) < 64:
        n = len(ids) + len(answer)
        mask = np.tril(np.ones((n, n), bool)) & (~hidden[:n] | np.eye(n, dtype=bool))
        last = mask[None, None, -embeddings.shape[1] :]
        output = model(inputs_embeds=embeddings, attention_mask=last, past_key_values=cache, logits_to_keep=1)
        cache = output.past_key_values
        answer.append(int(output.logits[0, -1].argmax()))
        chances.append(float(softmax(output.logits)[0, -1].max()))
        if answer[-1] in rounded_model().generation_config["eos_token_id"]:
            break
        embeddings = model.get_input_embeddings(np.array([answer[-1:]]))
    return answer, chances
