"""Mutants that no case can reject, since they compute the same, and why. Keys: exercise, then "old line -> new line"."""

EQUIVALENT: dict[str, dict[str, str]] = {}
