"""Where the two programs that run the Ovis2 weights, transformers' and the authors', compute different things.

A `Convention` is chosen once, when a model or a processor is made, and the two are never mixed. It has one field for each
difference; the line of code where the programs differ reads that field.
"""

from dataclasses import dataclass
from typing import Any

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown


@dataclass(frozen=True)
class Convention:
    """One of the two programs, a field for each difference."""

    def __reduce__(self) -> Any:
        """Let copies and pickles of the two conventions be the same objects."""
        return (as_convention, (self.name,)) if self in (TRANSFORMERS, ORIGINAL) else object.__reduce_ex__(self, 2)

    name: str
    vision_final_norm: bool
    """The RMSNorm after the ViT's last block is applied to the features."""
    argmax_of_logits: bool
    """The visual tokenizer's st_argmax takes the logits for its soft values; else their softmax, with more ties in 16 bits."""
    gumbel_tau: bool
    """The visual tokenizer's gumbel_argmax divides by the configuration's tau; else tau is 1. It decides ties alone."""
    transposed_grid: bool
    """The covering search's (rows, columns) are taken as (columns, rows) when the picture is cut."""
    crop_before_resize: bool
    """Tiles are cut from the full picture, each resized with its aspect ratio kept and padded to a square after normalising;
    else the whole picture is resized to the canvas of tiles, and then cut."""
    transparency_on_white: bool
    """A picture's transparent parts become white (transformers 5); else transparency is dropped, and their colours show."""
    placeholders_in_vocabulary: bool
    """The prompt has special tokens of the vocabulary for pictures; else negative ids, between pieces tokenised separately."""
    scores_count_prompt: bool
    """Score processors (repetition penalty, n-grams, lengths) count the prompt's tokens; else new tokens only, since the authors'
    code passes embeddings to its language model."""
    default_system_always: bool
    """The default system message comes first even if the conversation has its own; else its own replaces it."""
    max_tiles: int
    """The default for the number of tiles that a picture is cut into at most."""


TRANSFORMERS = Convention(
    name="transformers",
    vision_final_norm=True,
    argmax_of_logits=False,
    gumbel_tau=False,
    transposed_grid=True,
    crop_before_resize=False,
    transparency_on_white=True,
    placeholders_in_vocabulary=True,
    scores_count_prompt=True,
    default_system_always=True,
    max_tiles=12,
)
"""What transformers 4.56 to 5.x computes. The default."""

ORIGINAL = Convention(
    name="original",
    vision_final_norm=False,
    argmax_of_logits=True,
    gumbel_tau=True,
    transposed_grid=False,
    crop_before_resize=True,
    transparency_on_white=False,
    placeholders_in_vocabulary=False,
    scores_count_prompt=False,
    default_system_always=False,
    max_tiles=9,
)
"""What the authors' code (AIDC-AI/Ovis, branch v2.0) computes; the released weights were trained with it."""


def as_convention(convention: "str | Convention") -> Convention:
    """Return the convention called "transformers" or "original". Raises `InputError` for any other name."""
    if isinstance(convention, Convention):
        return convention
    for known in (TRANSFORMERS, ORIGINAL):
        if isinstance(convention, str) and known.name == convention:
            return known
    raise InputError(f'convention={shown(convention)} is not known; use "transformers" or "original"')
