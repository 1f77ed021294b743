"""Base classes that scripts derive their own logits processors and stopping criteria from. Any function of that form works,
too.
"""

from typing import Any


class LogitsProcessor:
    """A function (ids so far (rows, tokens), scores (rows, vocabulary)) -> scores."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the new scores."""
        raise NotImplementedError(f"{type(self).__name__} needs a __call__(input_ids, scores)")


class StoppingCriteria:
    """A function (ids so far (rows, tokens), scores of the steps or None) -> true at the end, for all rows or for each."""

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Return True to stop."""
        raise NotImplementedError(f"{type(self).__name__} needs a __call__(input_ids, scores)")


class LogitsProcessorList(list[Any]):
    """Processors that are applied one after another."""

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Return the scores after all processors."""
        for processor in self:
            scores = processor(input_ids, scores)
        return scores


class StoppingCriteriaList(list[Any]):
    """Criteria, any of which stops."""

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Return True if any criterion is met."""
        stop: Any = False
        for criterion in self:
            stop = stop | criterion(input_ids, scores)
        return stop
