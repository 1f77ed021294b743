"""The KV cache.

A new token's query looks at the keys of all tokens before it. They don't change, so they are kept: an array with room for
more tokens than there are, and a length. New keys go in behind the old ones; where the room isn't enough, it is doubled
until it is.

    length 2, capacity 4, one new token:  [a b . .]  ->  [a b c .]
    length 4, capacity 4, one new token:  [a b c d]  ->  [a b c d e . . .]
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.language import cache


def update_cache(
    store: Float[np.ndarray, "batch kv_heads capacity head_dim"],
    length: int,
    keys: Float[np.ndarray, "batch kv_heads new head_dim"],
) -> tuple[Float[np.ndarray, "batch kv_heads new_capacity head_dim"], Float[np.ndarray, "batch kv_heads all head_dim"]]:
    """Return a new store with `keys` behind the first `length` tokens of `store`, and the keys of all tokens.

    The capacity is doubled as often as needed and no more; places that aren't taken hold 0. `store` itself stays as it is.
    """
    batch, heads, capacity, head_dim = store.shape
    end = length + keys.shape[2]
    while capacity < end:
        capacity *= 2
    updated = np.zeros((batch, heads, capacity, head_dim), store.dtype)
    updated[:, :, :length] = store[:, :, :length]
    updated[:, :, length:end] = keys
    return updated, updated[:, :, :end]


def concatenated(store: np.ndarray, length: int, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same by concatenating."""
    seen = np.concatenate([store[:, :, :length], keys], axis=2)
    capacities = (store.shape[2] * 2**doublings for doublings in range(64))
    capacity = next(c for c in capacities if c >= seen.shape[2])
    free = np.zeros((*seen.shape[:2], capacity - seen.shape[2], seen.shape[3]), store.dtype)
    return np.concatenate([seen, free], axis=2), seen


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for batch, heads, capacity, length, new, width in (
        (1, 1, 1, 0, 1, 1),
        (1, 1, 2, 1, 1, 1),
        (1, 1, 4, 2, 1, 1),
        (1, 1, 2, 2, 1, 1),
        (1, 1, 1, 1, 4, 1),
        (1, 2, 4, 1, 2, 1),
        (2, 2, 4, 4, 3, 2),
        (1, 3, 3, 2, 5, 2),
        (2, 2, 4, 0, 4, 2),
        (2, 3, 8, 3, 1, 2),
    ):
        # what lies behind the length is left from before
        store = rng.integers(1, 50, (batch, heads, capacity, width)) * rng.choice([-0.5, 0.5])
        keys = (100 + rng.integers(1, 50, (batch, heads, new, width))) * rng.choice([-0.5, 0.5])
        dtype = np.float32 if width == 2 else np.float64
        yield {"store": store.astype(dtype), "length": length, "keys": keys.astype(dtype)}


EXERCISE = Exercise(
    answer=update_cache,
    expected=concatenated,
    cases=cases,
    one_file="update_cache",
    minutes=12,
    hints=(
        "First the capacity: double it while the new keys don't fit. Then two slices are filled.",
        "The new keys take the places length to length + new of the third axis.",
        "updated[:, :, length:end] = keys",
    ),
    wrong=(
        wrong(
            "written from the start",
            "The new keys go behind the old ones.",
            ("updated[:, :, length:end] = keys", "updated[:, :, : end - length] = keys"),
        ),
        wrong("never grown", "Where the room isn't enough it is doubled.", ("while capacity < end:", "while False:")),
        wrong("doubled once", "Double as often as needed.", ("while capacity < end:", "if capacity < end:")),
        wrong(
            "doubled when just full",
            "A store that is exactly full is large enough.",
            ("while capacity < end:", "while capacity <= end:"),
        ),
        wrong(
            "just as large as needed",
            "Growing by one for each token copies everything each time: double.",
            ("    while capacity < end:\n        capacity *= 2\n", "    capacity = max(capacity, end)\n"),
        ),
        wrong(
            "behind the free places",
            "The new keys go behind the tokens, not behind the store.",
            (
                "    return updated, updated[:, :, :end]",
                "    updated = np.concatenate([store, keys], axis=2)\n    return updated, updated",
            ),
        ),
        wrong("free places seen", "The second result ends with the last token.", ("updated[:, :, :end]", "updated")),
        wrong(
            "only the new keys seen",
            "The second result holds the keys of all tokens.",
            ("updated[:, :, :end]", "keys.copy()"),
        ),
        wrong(
            "only the old keys seen",
            "The new tokens see themselves, too.",
            ("updated[:, :, :end]", "updated[:, :, :length]"),
        ),
        wrong(
            "old keys lost", "Growing keeps what is there.", ("    updated[:, :, :length] = store[:, :, :length]\n", "")
        ),
        wrong(
            "newest first",
            "The order is that of the tokens.",
            (
                "return updated, updated[:, :, :end]",
                "updated[:, :, :end] = np.concatenate([keys, store[:, :, :length]], axis=2)\n"
                "    return updated, updated[:, :, :end]",
            ),
        ),
        wrong(
            "written into the store",
            "Return a new store: the caller's stays as it is.",
            (
                "updated[:, :, length:end] = keys",
                "updated[:, :, length:end] = keys\n    if capacity == store.shape[2]:\n        store[:, :, length:end] = keys",
            ),
        ),
        wrong(
            "float64 by accident",
            "The store keeps its type.",
            ("(batch, heads, capacity, head_dim), store.dtype", "(batch, heads, capacity, head_dim)"),
        ),
        wrong("tripled", "The capacity is doubled.", ("capacity *= 2", "capacity *= 3")),
        wrong(
            "what lay behind the length kept",
            "Only the first `length` places of the store hold tokens; the rest is left from before, and becomes 0.",
            ("    updated[:, :, :length] = store[:, :, :length]\n", "    updated[:, :, : store.shape[2]] = store\n"),
        ),
    ),
    solution=(cache.KVCache.update, cache.KVCache.reserve),
    notice=(
        "the project writes into its store, which is the point of a cache, and gives out views: nothing is copied but "
        "the new keys. generate() knows how long the text can become, and reserves the room at once."
    ),
)
