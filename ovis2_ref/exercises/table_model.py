"""A language model small enough to be read: it looks at the last token, and at whether the text's length is even or odd."""

from dataclasses import dataclass

import numpy as np


@dataclass(repr=False)
class TableModel:
    """numbers[length % 2][last token] are the logits, or log-probabilities, of the next token."""

    numbers: list[list[list[float]]]

    def __call__(self, ids: list[int]) -> np.ndarray:
        """Return the next token's numbers after the text `ids`."""
        return np.array(self.numbers[len(ids) % 2][ids[-1]])

    def __repr__(self) -> str:
        """Return both tables, a row for each last token."""
        tables = ("\n".join(" ".join(f"{number:6.4g}" for number in row) for row in table) for table in self.numbers)
        even, odd = (table.replace("\n", "\n        ") for table in tables)
        return (
            "a table, a row for each last token\n      after a text of even length\n        "
            f"{even}\n      after a text of odd length\n        {odd}"
        )
