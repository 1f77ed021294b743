"""Mutants that no case can reject, since they compute the same, and why. Keys: exercise, then "old line -> new line"."""

CUBIC = "return np.where(x < 1, near, np.where(x < 2, far, 0)) -> return np.where(x {}, near, np.where(x {}, far, 0))"
MERGE = "x = features.reshape(tiles, merged, stride, merged, stride, hidden) -> x = features.reshape({})"
BEAMS = "best = sorted(candidates, key=lambda candidate: -candidate[0])[:2 * beams] -> {}"
SORTED = "best = sorted(candidates, key=lambda candidate: -candidate[0])[:{}]"

EQUIVALENT: dict[str, dict[str, str]] = {
    "cubic": {
        CUBIC.format("<= 1", "< 2"): "at 1 both pieces are 0",
        CUBIC.format("< 1", "<= 2"): "at 2 the outer piece is 0",
    },
    "fixed_point": {
        "return np.trunc(scaled + np.copysign(0.5, scaled)) / 2.0 ** bits -> "
        "return np.trunc(scaled + np.copysign(-0.5, scaled)) / 2.0 ** bits": "copysign replaces the sign",
    },
    "grouped_query_attention": {
        "scores = q @ k.swapaxes(-1, -2) / np.sqrt(head_dim) + mask -> "
        "scores = q @ k.swapaxes(-1, +2) / np.sqrt(head_dim) + mask": "axis 2 of four is axis -2",
    },
    "merge_embeddings": {
        "merged[ids == atom_id] = visual.reshape(-1, visual.shape[-1]) -> "
        "merged[ids == atom_id] = visual.reshape(-2, visual.shape[-1])": "NumPy takes any negative length for -1",
    },
    "merge_patches": {
        MERGE.format(
            "merged, tiles, stride, merged, stride, hidden"
        ): "the first two axes stay neighbours: only their product counts",
        MERGE.format(
            "tiles, merged, stride, merged, hidden, stride"
        ): "the last two axes stay neighbours: only their product counts",
    },
    "repetition_penalty": {
        "lowered = np.where(scores > 0, scores / penalty, scores * penalty) -> "
        "lowered = np.where(scores >= 0, scores / penalty, scores * penalty)": "0 / penalty is 0 penalty",
    },
    "resize_pass": {
        "return np.clip(np.floor(sums + 0.5), 0, 255).astype(np.uint8) -> "
        "return np.clip(_same(sums + 0.5), 0, 255).astype(np.uint8)": "from 0 on, converting to bytes is the floor",
    },
    "top_p": {
        "order = np.argsort(-scores, axis=1) -> order = np.argsort(-scores)": "the last axis is the default, and axis 1 of two",
        "ranked = np.take_along_axis(scores, order, axis=1) -> ranked = np.take_along_axis(scores, order)": (
            "the last axis is the default from NumPy 2.3 on, and axis 1 of two"
        ),
        "stays = before < p -> stays = before <= p": (
            "differs where a sum of probabilities is exactly p, and rounding alone decides whether it is"
        ),
    },
    "dequantize": {
        "shifts, mask = (np.arange(0, 32, bits), 2 ** bits - 1) -> "
        "shifts, mask = (np.arange(0, 31, bits), 2 ** bits - 1)": "no number of 2 bits or more begins at the last bit",
        "q = (qweight[:, None] >> shifts[:, None] & mask).reshape(-1, qweight.shape[1]) -> "
        "q = (qweight[:, None] >> shifts[:, None] & mask).reshape(-2, qweight.shape[1])": "any negative length is -1",
        "z = (qzeros[:, :, None] >> shifts & mask).reshape(len(qzeros), -1) -> "
        "z = (qzeros[:, :, None] >> shifts & mask).reshape(len(qzeros), -2)": "any negative length is -1",
    },
    "beam_search": {
        BEAMS.format(SORTED.format("3 * beams")): "at most `beams` of them end, so 2 beams hold all that go on",
        BEAMS.format(SORTED.format("")): "at most `beams` of them end, so 2 beams hold all that go on",
    },
}
