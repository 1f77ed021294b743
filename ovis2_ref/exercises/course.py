"""The course: what is done in which session, how long it takes, and what a student can say afterwards."""

from typing import NamedTuple

from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.exercise import Exercise

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}


class Session(NamedTuple):
    """One meeting of a class: scripts that are stepped through together, then exercises."""

    title: str
    scripts: str
    """The numbers of the walkthroughs."""
    together: int
    """Minutes for these."""
    goal: str
    names: tuple[str, ...]
    extra: tuple[str, ...] = ()
    """Exercises for the fast."""

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """The session's exercises, those for the fast at the end."""
        return tuple(BY_NAME[name] for name in (*self.names, *self.extra))

    @property
    def minutes(self) -> int:
        """The whole session, without what is for the fast."""
        return self.together + sum(BY_NAME[name].minutes for name in self.names)


SESSIONS = (
    Session(
        "A picture becomes tiles",
        "00, 02",
        40,
        "name what each stage of the model takes and returns; choose a picture's grid by hand; say what the thumbnail is for",
        ("covering_area", "split_regions", "choose_grid", "cut_tiles", "pixel_values"),
    ),
    Session(
        "Resizing, to the last bit",
        "01",
        30,
        "say why resizing is a product with a banded matrix, and why two programs with the same weights get other inputs",
        ("cubic", "fixed_point", "resize_pass"),
        ("resize_matrix",),
    ),
    Session(
        "Tiles become features",
        "03, 04",
        45,
        "say what a block adds to a patch's vector, what queries, keys and values are, and why scores are divided by sqrt(d)",
        ("patches", "rms_norm", "swiglu", "softmax", "split_heads", "scaled_attention"),
    ),
    Session(
        "Features become visual words",
        "05",
        30,
        "say what a visual token is, and in what it differs from a text token",
        ("merge_patches", "layer_norm", "visual_tokens", "expected_embedding"),
    ),
    Session(
        "Words in order",
        "06, 07, 08",
        45,
        "write a grid as a row of tokens; say what the mask forbids and why, and why only distances count",
        ("image_layout", "merge_embeddings", "sliding_window", "causal_mask", "rotary_tables", "rotate"),
    ),
    Session(
        "Words become an answer",
        "09, 10, 11",
        45,
        "say what the cache keeps and what it costs; find out what a model looks at, and what such a picture doesn't prove",
        ("grouped_query_attention", "update_cache", "greedy", "repetition_penalty", "draw_token", "top_p"),
        ("beam_search",),
    ),
    Session(
        "The same numbers again",
        "12, 13, 14, 15, 16",
        60,
        "say what is rounded where, find the first wrong stage of a port, and run the model on functions of your own",
        ("round_to_bfloat16",),
        ("dequantize",),
    ),
)


def handout(number: int) -> str:
    """Return one page of Markdown on session `number`, from 1: goal, minutes, and each exercise's formula."""
    session = SESSIONS[number - 1]
    names = ", ".join(session.names)
    parts = [
        f"# Session {number}: {session.title}",
        f"{session.minutes} minutes: {session.together} with the walkthroughs {session.scripts}, "
        f"{session.minutes - session.together} with the exercises {names}.",
        f"Afterwards you can {session.goal}.",
    ]
    for exercise in session.exercises:
        fast = ", for the fast" if exercise.name in session.extra else ""
        parts.append(f"## {exercise.title} (`{exercise.name}`, {exercise.minutes} minutes{fast})")
        parts.append("\n".join(formulas(exercise.introduction)))
    parts.append(f"    ovis2-ref exercise next --session {number}")
    return "\n\n".join(part for part in parts if part) + "\n"


def formulas(introduction: str) -> list[str]:
    """Return the indented lines of an introduction, which are its formulas and examples; its first sentences if it has none."""
    lines = introduction.splitlines()
    indented = [line for line in lines if line.startswith("    ")]
    return indented or [line for line in lines[2:] if line][:3]
