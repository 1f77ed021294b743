"""What taps cost when nobody listens: the number of taps in a run, times the time of one, as a part of the run's time.

    python -m tests.golden.tap_cost

The tiny model is the worst case: a larger one has as many taps in a layer, and more to compute between them. Each time is the
least of several.
"""

import sys
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.image.loading import load_image
from ovis2_ref.runtime.taps import listening
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny import SAMPLE, TINY

CALLS = 20_000


class Cost(NamedTuple):
    """The cost of one kind of run."""

    taps: int
    run: float
    """Seconds of the run."""
    tap: float
    """Seconds of a tap without a listener."""

    @property
    def share(self) -> float:
        """The part of the run's time that its taps take."""
        return self.taps * self.tap / self.run


def least(run: Callable[[], object], times: int) -> float:
    """Return the least number of seconds that `run` takes, of so many times."""
    seconds = []
    for _ in range(times):
        start = perf_counter()
        run()
        seconds.append(perf_counter() - start)
    return min(seconds)


def seconds_of_a_tap() -> float:
    """Return the seconds that a tap takes when nobody listens, less those of the loop around it."""
    part, value = Weights({}, "model.language_model.layers.3.self_attn"), np.zeros(4, np.float32)

    def taps() -> None:
        for _ in range(CALLS):
            part.tap("output", value)

    def nothing() -> None:
        for _ in range(CALLS):
            pass

    return (least(taps, 20) - least(nothing, 20)) / CALLS


def costs() -> dict[str, Cost]:
    """Return the cost of the first pass over a picture and a prompt, and of a step after it."""
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    processor = Ovis2Processor.from_pretrained(TINY)
    content = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=[load_image(SAMPLE)], text=prompt)
    output = model(**inputs)
    token = output.logits[:, -1:].argmax(-1)

    def step() -> None:
        output.past_key_values.crop(inputs["input_ids"].shape[1])
        model(input_ids=token, past_key_values=output.past_key_values)

    tap, found = seconds_of_a_tap(), {}
    for name, run in {"picture and prompt": lambda: model(**inputs), "a step": step}.items():
        names: list[str] = []
        with listening(lambda name, array, names=names: names.append(name)):
            run()
        found[name] = Cost(len(names), least(run, 50), tap)
    return found


def main() -> int:
    """Print the costs; return 1 if one is above 1 %."""
    found = costs()
    for name, cost in found.items():
        print(
            f"{name}: {cost.taps} taps of {1e9 * cost.tap:.0f} ns in {1e3 * cost.run:.2f} ms: {100 * cost.share:.2f} %",
            flush=True,
        )
    return int(max(cost.share for cost in found.values()) > 0.01)


if __name__ == "__main__":
    sys.exit(main())
