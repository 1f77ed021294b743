"""The bounds of the options of `generate`, which may come from a file."""

MOST_TOKENS = 2**17
"""Tokens of one text, Qwen2.5's longest context: a limit, so that a corrupt file can't exhaust memory."""
MOST_ROWS = 1024
"""Beams of one prompt."""
MOST_TEXTS = 2**16
"""Texts drawn for one prompt."""
SMALLEST, LARGEST = 1e-30, 1e30
"""Bounds of a number that scores are multiplied or divided by: beyond these float32 overflows."""
MOST_LENGTH_PENALTY = 50
"""Largest exponent of a length: `MOST_TOKENS` to this power still fits float64."""

WHOLE = {
    "max_new_tokens": (1, MOST_TOKENS),
    "max_length": (1, MOST_TOKENS),
    "min_new_tokens": (0, MOST_TOKENS),
    "min_length": (0, MOST_TOKENS),
    "num_beams": (1, MOST_ROWS),
    "num_return_sequences": (1, MOST_TEXTS),
    "no_repeat_ngram_size": (0, MOST_TOKENS),
    "encoder_no_repeat_ngram_size": (0, MOST_TOKENS),
    "pad_token_id": (0, 2**31 - 1),
}
"""Options that are whole numbers, and their bounds."""
NUMBERS = {
    "length_penalty": (-MOST_LENGTH_PENALTY, MOST_LENGTH_PENALTY),
    "repetition_penalty": (SMALLEST, LARGEST),
    "encoder_repetition_penalty": (SMALLEST, LARGEST),
}
"""Options that are numbers, and their bounds."""
