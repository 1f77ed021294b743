"""Ovis2, the vision-language model, whole, in readable array code: NumPy on a CPU, CuPy on an NVIDIA GPU.

The public names, their arguments and results are those of transformers:

    from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor

    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    processor = Ovis2Processor.from_pretrained(TINY)
    inputs = processor(images=picture, text=prompt, return_tensors="np")
    ids = model.generate(**inputs, max_new_tokens=32)
    print(processor.batch_decode(ids, skip_special_tokens=True)[0])
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it, without the import of typing
if TYPE_CHECKING:
    from ovis2_ref.public import *  # noqa: F403

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """Import the public names when one is first asked for: the command starts without them, so that Ctrl-C is handled early.

    A name that only transformers has raises an `ImportError` that says what to use instead.
    """
    if name == "__all__" or not name.startswith("_"):
        public = vars(import_module("ovis2_ref.public"))
        globals().update({key: public[key] for key in public if key == "__all__" or not key.startswith("_")})
        if name in globals():  # the rooms of the package, which are imported on the way, too
            return globals()[name]
        from ovis2_ref.compat.missing import PACKAGE, missing_feature
        from ovis2_ref.errors import MissingNameError

        if any(name in names.split() for names in PACKAGE.values()):
            raise MissingNameError(missing_feature("ovis2_ref", name, "transformers", PACKAGE))
    raise AttributeError(f"ovis2_ref has no {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("ovis2_ref.public").__all__})
