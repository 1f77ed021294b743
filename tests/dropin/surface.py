"""Every public name and argument of transformers' classes that have a counterpart here, read from the installed transformers.

`python -m tests.dropin.surface` prints how many work and how many raise our error that says what to do; `--list` names these.
"""

import inspect
import sys
import typing
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import transformers

import ovis2_ref
from ovis2_ref import TINY, OvisError


class Found(NamedTuple):
    """A name or an argument of transformers', and what it does here."""

    owner: str
    name: str
    status: str
    """Either "works", "says what to do", or the error that it raises otherwise."""


def public(value: Any) -> list[str]:
    """Return the public names of an object."""
    return [name for name in dir(value) if not name.startswith("_")]


def try_call(call: Callable[[], Any], name: str) -> str:
    """Return the outcome of a call: it works, or an error of ours names it, or another error."""
    try:
        call()
    except OvisError as error:
        told = (name in str(error) or Unknown.__name__ in str(error)) and "has no attribute" not in str(error)
        return "says what to do" if told else f"OvisError: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "works"


def pairs() -> Iterator[tuple[Any, Any]]:
    """Our objects and transformers', of the tiny checkpoint."""
    kinds = ("Ovis2ForConditionalGeneration", "AutoProcessor")
    (our_model, our_processor), (model, processor) = (
        [getattr(library, kind).from_pretrained(TINY) for kind in kinds] for library in (ovis2_ref, transformers)
    )
    yield our_model, model
    yield our_model.model, model.model
    yield our_processor, processor
    yield our_processor.tokenizer, processor.tokenizer
    yield our_processor.image_processor, processor.image_processor
    yield our_model.generation_config, model.generation_config
    for part in ("", "vision_config", "text_config"):
        yield (getattr(x.config, part) if part else x.config for x in (our_model, model))
    arguments = {"text": "<image>", "images": np.zeros((8, 8, 3), np.uint8), "return_tensors": "pt"}
    inputs, their_inputs = our_processor(**arguments), processor(**arguments)
    yield inputs, their_inputs
    yield our_model(**inputs), model(**their_inputs)


def attributes() -> list[Found]:
    """Return every public attribute of transformers' objects, and what ours has for it."""
    found = []
    for ours, theirs in pairs():
        for name in public(theirs):
            found.append(Found(type(theirs).__name__, name, try_call(lambda o=ours, n=name: getattr(o, n), name)))
    return found


def parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's arguments."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [n for n, p in inspect.signature(function).parameters.items() if n != "self" and p.kind not in kinds]


def calls() -> Iterator[tuple[str, list[str], Callable[[dict[str, Any]], Any]]]:
    """For each call: its name, transformers' arguments of it, and our call with some of them."""
    model = ovis2_ref.Ovis2ForConditionalGeneration.from_pretrained(TINY)
    processor = ovis2_ref.AutoProcessor.from_pretrained(TINY)
    kinds = transformers.processing_utils
    text, images = (list(typing.get_type_hints(kind)) for kind in (kinds.TextKwargs, kinds.ImagesKwargs))
    image_processor = type(transformers.AutoProcessor.from_pretrained(TINY).image_processor)
    images += list(getattr(image_processor, "valid_kwargs", kinds.ImagesKwargs).__annotations__)
    config = list(vars(transformers.GenerationConfig()))
    hf, ids, picture = transformers.Ovis2ForConditionalGeneration, np.array([[5, 6]]), np.zeros((8, 8, 3), np.uint8)
    flat = list(kinds.ProcessingKwargs.__annotations__)
    yield "forward", parameters(hf.forward), lambda o: model(**{"input_ids": ids, **o})
    yield (
        "generate",
        [*parameters(hf.generate), *(n for n in config if not n.startswith("_"))],
        lambda o: model.generate(**{"input_ids": ids, "max_new_tokens": 1, **o}),
    )
    yield "GenerationConfig", [n for n in config if not n.startswith("_")], lambda o: ovis2_ref.GenerationConfig(**o)
    yield (
        "processor",
        sorted({*parameters(transformers.Ovis2Processor.__call__), *text, *images, *flat}),
        lambda o: processor(**{"text": "<image>" if o.get("images") else "a", **o}),
    )
    yield "image processor", sorted(set(images)), lambda o: processor.image_processor(**{"images": picture, **o})
    yield (
        "tokenizer",
        sorted({*text, *parameters(transformers.PreTrainedTokenizerBase.__call__)}),
        lambda o: processor.tokenizer(**{"text": "a", **o}),
    )
    chat = [{"role": "user", "content": "a"}]
    names = parameters(transformers.Ovis2Processor.apply_chat_template)
    yield "apply_chat_template", names, lambda o: processor.apply_chat_template(**{"conversation": chat, **o})
    for kind in ("Ovis2ForConditionalGeneration", "Ovis2Processor", "AutoTokenizer", "Ovis2Config"):
        cls = getattr(ovis2_ref, kind)
        their = getattr(transformers, "Qwen2Tokenizer" if kind == "AutoTokenizer" else kind)
        names = [n for n in parameters(their.from_pretrained) if n != "pretrained_model_name_or_path"]
        names += MODEL_LOADING if "Generation" in kind else []
        yield f"{kind}.from_pretrained", names, lambda o, cls=cls: cls.from_pretrained(TINY, **o)


MODEL_LOADING = [
    *(
        "dtype",
        "torch_dtype",
        "device_map",
        "attn_implementation",
        "low_cpu_mem_usage",
        "trust_remote_code",
        "subfolder",
    ),
    *(
        "quantization_config",
        "load_in_8bit",
        "load_in_4bit",
        "output_loading_info",
        "max_memory",
        "offload_folder",
        "variant",
    ),
    *("gguf_file", "state_dict", "tp_plan", "key_mapping", "adapter_kwargs", "generation_config"),
]
"""Arguments of `from_pretrained` that transformers takes out of its **kwargs."""


def arguments() -> list[Found]:
    """Return every argument of transformers' calls, and the outcome of giving it to ours: as None, and as a value that nothing
    knows.
    """
    found = []
    for call, names, run in calls():
        for name in dict.fromkeys(names):
            idle = try_call(lambda r=run, n=name: r({n: None}), name)
            odd = try_call(lambda r=run, n=name: r({n: Unknown()}), name)
            status = odd if odd not in ("works", "says what to do") else idle if odd == "works" else odd
            if idle == "works" and odd == "says what to do":
                status = "works"
            found.append(Found(call, name, status))
    return found


class Unknown:
    """A value that no argument expects."""


def main(arguments_: list[str]) -> None:
    """Print the counts, or with --list what doesn't work."""
    warnings.simplefilter("ignore")
    for what, found in (("attributes", attributes()), ("arguments", arguments())):
        owners = dict.fromkeys(f.owner for f in found)
        rows = {o: [f.status for f in found if f.owner == o] for o in owners} | {
            f"all {what}": [f.status for f in found]
        }
        for owner, statuses in rows.items():
            works, told = (statuses.count(status) for status in ("works", "says what to do"))
            other = len(statuses) - works - told
            print(f"{owner:45} {len(statuses):4} {what}: {works:4} work, {told:4} say what to do, {other} other")
        if "--list" in arguments_:
            for f in found:
                if f.status != "works":
                    print(f"  {f.owner}.{f.name}: {f.status[:150]}")


if __name__ == "__main__":
    main(sys.argv[1:])
