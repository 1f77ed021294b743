"""One run of transformers with the tiny checkpoint, with one mistake in it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import transformers
from transformers.models.ovis2 import modeling_ovis2
from transformers.models.qwen2 import modeling_qwen2

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.golden import Comparison, Golden, compare, read_golden, record, record_transformers
from ovis2_ref.golden.causes.runs import Rules, rules
from ovis2_ref.golden.probes import uneven
from ovis2_ref.golden.reference import load_reference
from ovis2_ref.golden.stages import Reference

PICTURE = uneven(128, 192)
PROMPT = "What is on the right?"
OPTIONS = {"max_patches": 6}
Change = Callable[[torch.Tensor], torch.Tensor]


class Workbench:
    """transformers' model, processor and inputs, to be changed by a mistake before the run."""

    def __init__(self, stack: ExitStack) -> None:
        """Load them; patches end with the `stack`."""
        self._stack = stack
        self.model = transformers.Ovis2ForConditionalGeneration.from_pretrained(
            TINY, attn_implementation="eager"
        ).eval()
        self.processor = transformers.AutoProcessor.from_pretrained(TINY, backend="pil")
        self.picture: np.ndarray = PICTURE
        self.options: dict[str, Any] = dict(OPTIONS)
        self.text: Change | Any = lambda text: text
        """prompt -> changed prompt"""
        self.inputs: Callable[[Any], Any] = lambda inputs: inputs
        """the processor's output -> changed inputs"""
        vision, text = self.model.model.vision_tower, self.model.model.language_model
        self.vision, self.vit, self.language = vision, vision.transformer, text
        self.vision_layers, self.text_layers = list(vision.transformer.encoder.layers), list(text.layers)
        self.layers = self.vision_layers + self.text_layers
        self.attentions = [layer.attention for layer in self.vision_layers] + [
            layer.self_attn for layer in self.text_layers
        ]
        self.feed_forwards = [layer.ffn for layer in self.vision_layers] + [layer.mlp for layer in self.text_layers]
        kinds = (modeling_ovis2.Ovis2RMSNorm, modeling_qwen2.Qwen2RMSNorm)
        self.norms = [module for module in self.model.modules() if isinstance(module, kinds)]

    def patch(self, target: Any, name: str, value: Any) -> None:
        """Replace an attribute until the run is over."""
        self._stack.enter_context(patch.object(target, name, value))

    def products(self, *words: str) -> Iterator[torch.nn.Linear]:
        """Yield the linear layers with these last words of their names: of the layers and the visual head, if none is given."""
        for name, module in self.model.named_modules():
            if isinstance(module, torch.nn.Linear) and name != "lm_head" and (not words or name.endswith(words)):
                yield module

    def run(self, path: Path) -> None:
        """Record the run: the prompt and one step."""
        text = f"<|im_start|>user\n<image>\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
        text = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + text
        picture = np.ascontiguousarray(self.picture)
        inputs = self.processor(images=picture, text=self.text(text), return_tensors="pt", **self.options)
        with torch.no_grad():
            record_transformers(path, self.model, self.inputs(dict(inputs)), tokens=2)


Mistake = Callable[[Workbench], None]


class Seen(NamedTuple):
    """What compare says of a run with a mistake."""

    verdict: str
    """Of the first value that is neither equal nor rounded; "" if there is none."""
    tap: str
    named: tuple[str, ...]
    """The mistakes named there, the closest first."""
    rules: Rules
    """Which of the usual rules see it."""


class Bench:
    """The golden file, and transformers' right run."""

    def __init__(self, folder: Path) -> None:
        """Record both into the folder."""
        self._folder = folder
        model = Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype="float64")
        record(folder / "golden", model, Ovis2Processor.from_pretrained(TINY), [PICTURE], PROMPT, tokens=2, **OPTIONS)
        self.golden = read_golden(folder / "golden")
        self.reference: Reference = load_reference(self.golden, TINY)
        self.right = self._recorded(lambda bench: None)

    def _recorded(self, mistake: Mistake) -> Golden:
        with ExitStack() as stack:
            bench = Workbench(stack)
            with torch.no_grad():
                mistake(bench)
            bench.run(self._folder / "run")
        return read_golden(self._folder / "run")

    def compared(self, mistake: Mistake) -> Comparison:
        """Return the comparison of the run with the mistake."""
        return compare(self.golden, self._recorded(mistake), self.reference)

    def seen(self, mistake: Mistake) -> Seen:
        """Return what compare says of the run with the mistake."""
        run = self._recorded(mistake)
        comparison = compare(self.golden, run, self.reference)
        row = next((row for row in comparison.rows if row.verdict not in ("equal", "rounding")), None)
        noticed = rules(*({name: one.taps[name] for name in one.names} for one in (self.right, run)))
        if row is None:
            return Seen("", "", (), noticed)
        named = tuple(name for cause in row.causes for name in cause.names)
        return Seen(row.verdict, row.tap, named, noticed)
