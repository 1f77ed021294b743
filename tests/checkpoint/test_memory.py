"""Peak memory of a process that loads, or streams, a model of 200 MB (as float32).

Loaded: at most 1.15 times the weights in the compute type, and the largest one. Streamed through a whole forward pass: at most
the largest layer and the text table (activations of eight tokens are nothing); mapped pages of the file count, too. `SLACK` is
for what Python and BLAS take besides.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from ovis2_ref.checkpoint.names import EMBEDDINGS, VISUAL_EMBEDDINGS, expected_shapes
from ovis2_ref.checkpoint.random_weights import DrawnWeights
from ovis2_ref.checkpoint.saving import save_checkpoint
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from tests.checkpoint.memory import STATUS

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="Linux tells a process's peak memory")
SLACK = 30 * 2**20

PROGRAM = """
import json, sys
import numpy as np
from ovis2_ref import Ovis2ForConditionalGeneration
from ovis2_ref.checkpoint.loading import read_config
from tests.checkpoint.memory import peak_bytes
folder, stream, dtype = sys.argv[1], sys.argv[2] == "stream", sys.argv[3]
np.ones((500, 500), np.float32) @ np.ones((500, 500), np.float32)  # BLAS takes its buffers
read_config(folder)
start = peak_bytes()
model = Ovis2ForConditionalGeneration.from_pretrained(folder, dtype=dtype, stream=stream)
loaded = peak_bytes() - start
if stream:
    model(input_ids=np.arange(8)[None])
print(json.dumps({"loaded": loaded, "run": peak_bytes() - start}))
"""


@pytest.fixture(scope="module")
def config():
    """Twelve layers of 15 MB and a text table of 16 MB."""
    vision = Ovis2VisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, image_size=28, vocab_size=100
    )
    text = Qwen2Config(
        vocab_size=8000, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True,
    )  # fmt: skip
    return Ovis2Config(
        vision_config=vision, text_config=text, image_token_id=7994, visual_indicator_token_ids=list(range(7995, 8000)),
        vocab_size=8000, hidden_size=512,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["bfloat16", "float32"])
def folder(request, tmp_path_factory, config):
    """The checkpoint, stored as that type in shards."""
    path = tmp_path_factory.mktemp(request.param)
    save_checkpoint(path, config, DrawnWeights(config, 0, request.param), max_shard_bytes=50 * 10**6)
    return path


def measured(folder, mode, dtype):
    """Bytes by which the peak grew, once loaded and in the end."""
    command = [sys.executable, "-c", PROGRAM, str(folder), mode, dtype]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loading(folder, config, dtype):
    sizes = {name: math.prod(shape) * int(dtype[-2:]) // 8 for name, shape in expected_shapes(config).items()}
    found = measured(folder, "load", dtype)
    assert 0.9 * sum(sizes.values()) < found["loaded"] + SLACK
    assert found["loaded"] < 1.15 * sum(sizes.values()) + max(sizes.values())


def test_streaming(folder, config):
    sizes = {name: math.prod(shape) * 4 for name, shape in expected_shapes(config).items() if name != VISUAL_EMBEDDINGS}
    layer = sum(size for name, size in sizes.items() if ".language_model.layers.0." in name)
    found = measured(folder, "stream", "float32")
    assert found["loaded"] < sizes[EMBEDDINGS] + SLACK
    assert found["run"] < layer + sizes[EMBEDDINGS] + SLACK < sum(sizes.values()) / 2
