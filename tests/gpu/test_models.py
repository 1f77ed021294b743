"""The whole model on the device against our own float64 on the CPU, and against transformers on the same GPU.

How far a model may be off in a type depends on its weights. So the error of another program in the same type is the measure:
ours on the CPU, or transformers on the GPU. The device's may be four times that, and a few eps of the largest value.
"""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.errors import DeviceError
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime.arrays import DTYPES, array_module, to_device, to_host
from ovis2_ref.runtime.gpu import kernels
from ovis2_ref.runtime.gpu.fused_attention import attend_in_one
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.tiny import TINY
from ovis2_ref.tiny.training.scenes import draw_scene
from tests.bounds import eps
from tests.oracle import reference_model, weights_of
from tests.test_model import as_torch, calls


def model_on(xp: ModuleType, config: Any, weights: dict[str, np.ndarray], dtype: str) -> Ovis2ForConditionalGeneration:
    """Return the model with these weights as `dtype`, where `xp` computes."""
    return Ovis2ForConditionalGeneration(
        config, {name: to_device(w.astype(DTYPES[dtype]), xp) for name, w in weights.items()}
    )


def rounded(arguments: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """Return the arguments with pixels that `dtype` has, in float64, so that all programs read the same numbers."""
    if "pixel_values" not in arguments:
        return arguments
    return {**arguments, "pixel_values": arguments["pixel_values"].astype(DTYPES[dtype]).astype(np.float64)}


def error(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the largest difference, in units of the largest value."""
    return float(abs(values.astype(np.float64) - truth).max() / max(abs(truth).max(), 1e-3))


@given(calls(), st.sampled_from(list(DTYPES)), st.sampled_from(["eager", "sdpa"]))
def test_forward(xp: ModuleType, call: Any, dtype: str, attention: str) -> None:
    """Logits and every hidden state of tokens that aren't padding."""
    config, seed, arguments = call
    weights = weights_of(reference_model(config, seed, dtype))
    arguments = rounded(arguments, dtype)
    real = arguments["attention_mask"].astype(bool)
    models = [model_on(module, config, weights, t) for module, t in ((np, dtype), (np, "float64"), (xp, dtype))]
    models[-1].set_attn_implementation(attention)
    here, truth, there = (model(**arguments, output_hidden_states=True) for model in models)
    outputs = [(there.logits, here.logits, truth.logits)]
    outputs += list(zip(there.hidden_states, here.hidden_states, truth.hidden_states, strict=True))
    for i, (device_values, host_values, true_values) in enumerate(outputs):
        assert array_module(device_values) is xp
        assert device_values.dtype == DTYPES[dtype]
        bound = 4 * error(host_values[real], true_values[real]) + 16 * eps(DTYPES[dtype])
        assert error(to_host(device_values)[real], true_values[real]) <= bound, f"output {i}"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_attention_in_one_kernel(xp: ModuleType, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer of the tower and of the prompt, not a step's; none where it wasn't asked for, or attentions are asked for."""
    counted = []
    monkeypatch.setattr(kernels, "attend_in_one", lambda *x: counted.append(x) or attend_in_one(*x))
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype=dtype, device="cuda", attn_implementation="sdpa")
    prompt = "<image>\nDescribe the image."
    inputs = Ovis2Processor.from_pretrained(TINY)(images=[draw_scene(0).render()], text=prompt, return_tensors="np")
    in_tower, in_text = model.config.vision_config.num_hidden_layers, model.config.text_config.num_hidden_layers
    for run, launches in (
        (lambda: model.generate(**inputs, max_new_tokens=3, eos_token_id=None), in_tower + in_text),
        (lambda: model(**inputs, output_hidden_states=True), in_tower + in_text),
        (lambda: model.model.get_image_features(inputs["pixel_values"]), in_tower),
        (lambda: model(**inputs, output_attentions=True), in_tower),
    ):
        counted.clear()
        run()
        assert len(counted) == launches
    counted.clear()
    model.set_attn_implementation("eager")
    model(**inputs)
    assert not counted


@given(calls(), st.integers(1, 3), st.booleans())
def test_generate(xp: ModuleType, call: Any, beams: int, recorded: bool) -> None:
    """The ids that the CPU makes, in float64, where a tie is as good as impossible; step by step, or from a CUDA graph."""
    config, seed, arguments = call
    if recorded and beams == 1 and "sliding_attention" not in config.text_config.layer_types:
        arguments["cache_implementation"] = "static"
    weights = weights_of(reference_model(config, seed, "float64"))
    here, there = (
        model_on(module, config, weights, "float64").generate(
            **arguments, max_new_tokens=6, num_beams=beams, do_sample=False, eos_token_id=3, pad_token_id=0
        )
        for module in (np, xp)
    )
    np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("dtype", DTYPES)
def test_answers_of_the_tiny_checkpoint(xp: ModuleType, dtype: str) -> None:
    """Pictures in, words out: the CPU's float64 answers, in float32 and float64; in 16 bits nine of ten tokens."""
    processor = Ovis2Processor.from_pretrained(TINY)
    content = [{"type": "image"}, {"type": "text", "text": "Describe the image."}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    here = Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype="float64")
    there = Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype=dtype, device="cuda")
    same = []
    for seed in range(2):
        inputs = processor(images=[draw_scene(seed).render()], text=text, return_tensors="np")
        a, b = (model.generate(**inputs, max_new_tokens=16, do_sample=False) for model in (here, there))
        length = min(a.shape[1], b.shape[1])
        same += [(a[:, :length] == b[:, :length]).mean()]
    assert np.mean(same) >= (1 if dtype in ("float32", "float64") else 0.9)


@pytest.mark.gpu
@given(call=calls(), dtype=st.sampled_from(["float32", "bfloat16", "float16"]))
def test_transformers_on_the_same_gpu(xp: ModuleType, call: Any, dtype: str) -> None:
    """Logits against float64: ours at most four times as far off as those of transformers (eager) in the same type."""
    if not torch.cuda.is_available() or "standin" in xp.__version__:
        pytest.skip("torch sees no GPU")
    config, seed, arguments = call
    reference = reference_model(config, seed, dtype)
    weights = weights_of(reference)
    arguments = rounded(arguments, dtype)
    real = arguments["attention_mask"].astype(bool)
    truth = model_on(np, config, weights, "float64")(**arguments).logits
    ours = to_host(model_on(xp, config, weights, dtype)(**arguments).logits)
    with torch.no_grad():
        inputs = {name: tensor.cuda() for name, tensor in as_torch(arguments, dtype).items()}
        theirs = reference.cuda()(**inputs).logits.double().cpu().numpy()
    bound = 4 * error(theirs[real], truth[real]) + 16 * eps(DTYPES[dtype])
    assert error(ours[real], truth[real]) <= bound


def test_a_gpu_that_is_not_there(xp: ModuleType) -> None:
    with pytest.raises(DeviceError, match="numbered from 0"):
        Ovis2ForConditionalGeneration.from_pretrained(TINY, device="cuda:99")
