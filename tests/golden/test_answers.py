"""Answers: one that goes on after a stop token, or leaves it out, is named, whatever the model answers."""

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.golden import Golden, compare, read_golden, record
from tests.golden.runs import tiny_reference

TOKENS = 6


def answered(path, stops: list[int] | None) -> Golden:
    """Return a recorded answer of up to `TOKENS` tokens."""
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype="float64")
    model.generation_config = {**model.generation_config, "eos_token_id": stops}
    processor = Ovis2Processor.from_pretrained(TINY)
    record(path, model, processor, [], "Which is larger?", tokens=TOKENS, only=["lm_head.*", "generated"])
    return read_golden(path)


def test_where_an_answer_ends(tmp_path):
    """A token of the model's own answer, the first that was not there before, is made the second stop token."""
    free = answered(tmp_path / "free", None)
    tokens = free.taps["generated"][0].tolist()
    at = next(i for i in range(1, TOKENS) if tokens[i] not in tokens[:i] or i == TOKENS - 1)
    unused = next(token for token in range(TOKENS + 1) if token not in tokens)
    golden = answered(tmp_path / "golden", [unused, tokens[at]])
    known = {name: golden.taps[name] for name in golden.names}
    ended = known["generated"].shape[1]
    for values, names in (
        (
            {name: free.taps[name] for name in free.names},
            ("answer: goes on after a stop token", "answer: only the first stop token ends it"),
        ),
        ({**known, "generated": known["generated"][:, : ended - 1]}, ("answer: stop token left out",)),
    ):
        comparison = compare(golden, Golden(values, {"dtype": "float64"}), tiny_reference(golden))
        (wrong,) = comparison.of("wrong")
        assert wrong.tap == "generated"
        assert wrong.causes[0].names == names
