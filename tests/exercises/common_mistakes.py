"""Mistakes as students make them, each written by hand as a whole body, before anybody looked at the names in the catalogue.

Exercise -> what the student did -> the body of their function. `test_names.py` says which name each of them gets.
"""

COMMON: dict[str, dict[str, str]] = {
    "covering_area": {
        "upscales small regions": "f = side / max(height, width)\nreturn f * height * f * width",
        "factor used once": "f = min(1, side / max(height, width))\nreturn f * height * width",
        "shorter edge": "f = min(1.0, side / min(height, width))\nreturn (f * height) * (f * width)",
        "each edge by itself": "return min(height, side) * min(width, side)",
        "whole pixels": "f = min(1, side / max(height, width))\nreturn int(f * height) * int(f * width)",
    },
    "cubic": {
        "no abs": (
            "a = -0.5\nreturn np.where(x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1,\n"
            "    np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0.0))"
        ),
        "OpenCV's a": (
            "a = -0.75\nx = abs(x)\nreturn np.where(x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1,\n"
            "    np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0.0))"
        ),
        "a positive": (
            "a = 0.5\nx = abs(x)\nreturn np.where(x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1,\n"
            "    np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0.0))"
        ),
        "no zero beyond": (
            "a = -0.5\nx = abs(x)\nreturn np.where(x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1,\n"
            "    a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a)"
        ),
    },
    "rms_norm": {
        "no keepdims": "return weight * x / np.sqrt((x ** 2).mean(-1) + eps)",
        "mean of everything": "return weight * x / np.sqrt((x ** 2).mean() + eps)",
        "layer norm": "c = x - x.mean(-1, keepdims=True)\nreturn weight * c / np.sqrt((c * c).mean(-1, keepdims=True) + eps)",
        "eps outside": "return weight * x / (np.sqrt((x * x).mean(-1, keepdims=True)) + eps)",
        "sum, not mean": "return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps) * weight",
        "no weight": "return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)",
        "first axis": "return weight * x / np.sqrt(np.mean(x * x, axis=0, keepdims=True) + eps)",
        "no square root": "return weight * x / (np.mean(x * x, axis=-1, keepdims=True) + eps)",
    },
    "softmax": {
        "axis 0 twice": "e = np.exp(x - x.max(axis=0, keepdims=True))\nreturn e / e.sum(axis=0, keepdims=True)",
        "no keepdims twice": "e = np.exp(x - x.max(axis=-1))\nreturn e / e.sum(axis=-1)",
        "no maximum": "e = np.exp(x)\nreturn e / e.sum(axis=-1, keepdims=True)",
        "everything": "e = np.exp(x - x.max())\nreturn e / e.sum()",
    },
    "layer_norm": {
        "mean of squares as variance": (
            "m = x.mean(-1, keepdims=True)\nv = (x ** 2).mean(-1, keepdims=True)\nreturn weight * (x - m) / np.sqrt(v + eps) + bias"
        ),
        "eps outside": "m = x.mean(-1, keepdims=True)\nreturn weight * (x - m) / (x.std(-1, keepdims=True) + eps) + bias",
        "sample variance": (
            "m = x.mean(-1, keepdims=True)\nv = x.var(-1, keepdims=True, ddof=1)\nreturn weight * (x - m) / np.sqrt(v + eps) + bias"
        ),
        "divided by the variance": (
            "m = x.mean(-1, keepdims=True)\nv = x.var(-1, keepdims=True)\nreturn weight * (x - m) / (v + eps) + bias"
        ),
        "no keepdims": "return weight * (x - x.mean(-1)) / np.sqrt(x.var(-1) + eps) + bias",
        "weight times all": (
            "m = x.mean(-1, keepdims=True)\nv = x.var(-1, keepdims=True)\nreturn weight * ((x - m) / np.sqrt(v + eps) + bias)"
        ),
        "no bias": "m = x.mean(-1, keepdims=True)\nreturn weight * (x - m) / np.sqrt(x.var(-1, keepdims=True) + eps)",
    },
    "pixel_values": {
        "channels last": "return ((levels * np.float32(factor) - mean) / std).astype(np.float32)",
        "float64": "return (levels * factor - mean.astype(float)[:, None, None]) / std[:, None, None]",
        "factor after": (
            "return ((levels - mean[:, None, None]) / std[:, None, None] * factor).astype(np.float32)"
        ),
        "multiplied by std": "return ((levels * factor - mean[:, None, None]) * std[:, None, None]).astype(np.float32)",
    },
    "split_regions": {
        "no rest": (
            "h, w = height // rows, width // columns\n"
            "return [(c * w, r * h, (c + 1) * w, (r + 1) * h) for r in range(rows) for c in range(columns)]"
        ),
        "upper before left": (
            "h, w = height // rows, width // columns\nreturn [(r * h, c * w, height if r == rows - 1 else (r + 1) * h,\n"
            "    width if c == columns - 1 else (c + 1) * w) for r in range(rows) for c in range(columns)]"
        ),
        "column by column": (
            "h, w = height // rows, width // columns\nreturn [(c * w, r * h, width if c == columns - 1 else (c + 1) * w,\n"
            "    height if r == rows - 1 else (r + 1) * h) for c in range(columns) for r in range(rows)]"
        ),
        "width and height": (
            "h, w = height // rows, width // columns\nreturn [(c * w, r * h, width - c * w if c == columns - 1 else w,\n"
            "    height - r * h if r == rows - 1 else h) for r in range(rows) for c in range(columns)]"
        ),
    },
    "choose_grid": {
        "best always": "return max(kept, key=lambda g: kept[g])",
        "at least": (
            "ok = [g for g in kept if kept[g] >= threshold]\nif ok:\n    return min(ok, key=lambda g: (g[0] * g[1], -kept[g]))\n"
            "return max(kept, key=lambda g: (kept[g], -g[0] * g[1]))"
        ),
        "first that keeps enough": (
            "for g in kept:\n    if kept[g] > threshold:\n        return g\nreturn max(kept, key=lambda g: (kept[g], -g[0] * g[1]))"
        ),
        "no grid keeps enough: one tile": (
            "ok = [g for g in kept if kept[g] > threshold]\nif ok:\n    return min(ok, key=lambda g: (g[0] * g[1], -kept[g]))\nreturn (1, 1)"
        ),
    },
    "swiglu": {
        "gate and up exchanged": "g, u = x @ gate_proj.T, x @ up_proj.T\nreturn (g * (u / (1 + np.exp(-u)))) @ down_proj.T",
        "sigmoid only": "g, u = x @ gate_proj.T, x @ up_proj.T\nreturn (1 / (1 + np.exp(-g)) * u) @ down_proj.T",
        "silu of the product": (
            "g, u = x @ gate_proj.T, x @ up_proj.T\nh = g * u\nreturn (h / (1 + np.exp(-h))) @ down_proj.T"
        ),
        "sign of the exponent": "g, u = x @ gate_proj.T, x @ up_proj.T\nreturn (g / (1 + np.exp(g)) * u) @ down_proj.T",
        "added": "g, u = x @ gate_proj.T, x @ up_proj.T\nreturn (g / (1 + np.exp(-g)) + u) @ down_proj.T",
    },
    "visual_tokens": {
        "softmax over tokens": (
            "z = merged @ head.T\nz = norm_weight * (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5) + norm_bias\n"
            "e = np.exp(z - z.max(1, keepdims=True))\nreturn e / e.sum(1, keepdims=True)"
        ),
        "no layer norm": (
            "z = merged @ head.T\ne = np.exp(z - z.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True)"
        ),
        "no softmax": (
            "z = merged @ head.T\n"
            "return norm_weight * (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5) + norm_bias"
        ),
        "eps of RMSNorm": (
            "z = merged @ head.T\nz = norm_weight * (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-6) + norm_bias\n"
            "e = np.exp(z - z.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True)"
        ),
    },
    "expected_embedding": {
        "argmax": "return table[tokens.argmax(-1)]",
        "last rows": "return tokens @ table[-tokens.shape[-1]:]",
        "normalised again": "e = tokens @ table[:tokens.shape[-1]]\nreturn e / tokens.shape[-1]",
    },
    "scaled_attention": {
        "no scale": (
            "s = q @ k.swapaxes(-1, -2)\ne = np.exp(s - s.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True) @ v"
        ),
        "softmax over queries": (
            "s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])\ne = np.exp(s - s.max(-2, keepdims=True))\n"
            "return e / e.sum(-2, keepdims=True) @ v"
        ),
        "scaled by the values' width": (
            "s = q @ k.swapaxes(-1, -2) / np.sqrt(v.shape[-1])\ne = np.exp(s - s.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True) @ v"
        ),
        "scaled by the width": (
            "s = q @ k.swapaxes(-1, -2) / q.shape[-1]\ne = np.exp(s - s.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True) @ v"
        ),
        "multiplied by the root": (
            "s = q @ k.swapaxes(-1, -2) * np.sqrt(q.shape[-1])\ne = np.exp(s - s.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True) @ v"
        ),
        "overflow": (
            "s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])\ne = np.exp(s)\nreturn e / e.sum(-1, keepdims=True) @ v"
        ),
    },
    "fixed_point": {
        "NumPy's round": "return np.round(weights * 2 ** bits) / 2 ** bits",
        "floor": "return np.floor(weights * 2 ** bits + 0.5) / 2 ** bits",
        "cut": "return np.trunc(weights * 2 ** bits) / 2 ** bits",
        "not divided": "s = weights * 2 ** bits\nreturn np.trunc(s + np.copysign(0.5, s))",
    },
    "resize_pass": {
        "no clip": "return np.floor(weights @ picture + 0.5).astype(np.uint8)",
        "no half": "return np.clip(np.floor(weights @ picture), 0, 255).astype(np.uint8)",
        "half to even": "return np.clip(np.round(weights @ picture), 0, 255).astype(np.uint8)",
        "clipped at 256": "return np.clip(np.floor(weights @ picture + 0.5), 0, 256).astype(np.uint8)",
        "floats": "return np.clip(np.floor(weights @ picture + 0.5), 0, 255)",
    },
    "image_layout": {
        "column after every tile": (
            "t = ['<IMG_ATOM>'] * tokens_per_tile\nout = ['<IMG_START>', *t, '<IMG_GRID>']\nif rows * columns > 1:\n"
            "    for r in range(rows):\n        for c in range(columns):\n            out += t + ['<IMG_COL>']\n"
            "        if r < rows - 1:\n            out.append('<IMG_ROW>')\nreturn out + ['<IMG_END>']"
        ),
        "row after every row": (
            "t = ['<IMG_ATOM>'] * tokens_per_tile\nout = ['<IMG_START>', *t, '<IMG_GRID>']\nif rows * columns > 1:\n"
            "    for r in range(rows):\n        for c in range(columns):\n            out += t\n"
            "            if c < columns - 1:\n                out.append('<IMG_COL>')\n        out.append('<IMG_ROW>')\nreturn out + ['<IMG_END>']"
        ),
        "1 x 1 with a tile": (
            "t = ['<IMG_ATOM>'] * tokens_per_tile\nout = ['<IMG_START>', *t, '<IMG_GRID>']\nfor r in range(rows):\n"
            "    for c in range(columns):\n        out += t\n        if c < columns - 1:\n            out.append('<IMG_COL>')\n"
            "    if r < rows - 1:\n        out.append('<IMG_ROW>')\nreturn out + ['<IMG_END>']"
        ),
        "one atom": (
            "t = ['<IMG_ATOM>']\nout = ['<IMG_START>', *t, '<IMG_GRID>']\nif rows * columns > 1:\n    for r in range(rows):\n"
            "        for c in range(columns):\n            out += t\n            if c < columns - 1:\n                out.append('<IMG_COL>')\n"
            "        if r < rows - 1:\n            out.append('<IMG_ROW>')\nreturn out + ['<IMG_END>']"
        ),
    },
    "split_heads": {
        "reshape only": "b, t, h = x.shape\nreturn x.reshape(b, heads, t, h // heads)",
        "not transposed": "b, t, h = x.shape\nreturn x.reshape(b, t, heads, h // heads)",
        "interleaved": "b, t, h = x.shape\nreturn x.reshape(b, t, h // heads, heads).transpose(0, 3, 1, 2)",
    },
    "cut_tiles": {
        "thumbnail last": (
            "c, h, w = canvas.shape\ns = thumbnail.shape[-1]\n"
            "t = [canvas[:, y:y + s, x:x + s] for y in range(0, h, s) for x in range(0, w, s)]\n"
            "return np.stack([*t, thumbnail] if len(t) > 1 else t)"
        ),
        "thumbnail always": (
            "c, h, w = canvas.shape\ns = thumbnail.shape[-1]\n"
            "t = [canvas[:, y:y + s, x:x + s] for y in range(0, h, s) for x in range(0, w, s)]\nreturn np.stack([thumbnail, *t])"
        ),
        "column by column": (
            "c, h, w = canvas.shape\ns = thumbnail.shape[-1]\n"
            "t = [canvas[:, y:y + s, x:x + s] for x in range(0, w, s) for y in range(0, h, s)]\n"
            "return np.stack([thumbnail, *t] if len(t) > 1 else t)"
        ),
    },
    "patches": {
        "channels last": (
            "n, c, h, w = pixel_values.shape\nr, q = h // p, w // p\nx = pixel_values[:, :, :r * p, :q * p].reshape(n, c, r, p, q, p)\n"
            "return x.transpose(0, 2, 4, 3, 5, 1).reshape(n, r * q, -1)"
        ),
        "reshape only": (
            "n, c, h, w = pixel_values.shape\nr, q = h // p, w // p\nreturn pixel_values[:, :, :r * p, :q * p].reshape(n, r * q, c * p * p)"
        ),
        "cropped at the centre": (
            "n, c, h, w = pixel_values.shape\nr, q = h // p, w // p\ny, z = (h - r * p) // 2, (w - q * p) // 2\n"
            "x = pixel_values[:, :, y:y + r * p, z:z + q * p].reshape(n, c, r, p, q, p)\n"
            "return x.transpose(0, 2, 4, 1, 3, 5).reshape(n, r * q, -1)"
        ),
        "columns first": (
            "n, c, h, w = pixel_values.shape\nr, q = h // p, w // p\nx = pixel_values[:, :, :r * p, :q * p].reshape(n, c, r, p, q, p)\n"
            "return x.transpose(0, 4, 2, 1, 3, 5).reshape(n, r * q, -1)"
        ),
    },
    "merge_patches": {
        "neighbours in the row": "n, t, h = features.shape\nreturn features.reshape(n, t // stride**2, stride**2 * h)",
        "features first": (
            "n, t, h = features.shape\nm = round(t**0.5) // stride\nx = features.reshape(n, m, stride, m, stride, h)\n"
            "return x.transpose(0, 1, 3, 5, 2, 4).reshape(n, m * m, -1)"
        ),
        "columns inside the square": (
            "n, t, h = features.shape\nm = round(t**0.5) // stride\nx = features.reshape(n, m, stride, m, stride, h)\n"
            "return x.transpose(0, 1, 3, 4, 2, 5).reshape(n, m * m, -1)"
        ),
    },
    "merge_embeddings": {
        "into the argument": (
            "text[ids == atom_id] = visual.reshape(-1, visual.shape[-1])\nfor i, k in enumerate(indicator_ids):\n"
            "    text[ids == k] = indicators[i]\nreturn text"
        ),
        "row = id - min(ids)": (
            "out = text.copy()\nout[ids == atom_id] = visual.reshape(-1, visual.shape[-1])\nfor k in indicator_ids:\n"
            "    out[ids == k] = indicators[k - min(indicator_ids)]\nreturn out"
        ),
        "no indicators": "out = text.copy()\nout[ids == atom_id] = visual.reshape(-1, visual.shape[-1])\nreturn out",
        "first tile everywhere": (
            "out = text.copy()\nfor row in range(len(ids)):\n    at = np.flatnonzero(ids[row] == atom_id)\n"
            "    out[row, at] = visual.reshape(-1, visual.shape[-1])[:len(at)]\nfor i, k in enumerate(indicator_ids):\n"
            "    out[ids == k] = indicators[i]\nreturn out"
        ),
    },
    "sliding_window": {
        "no offset": (
            "i, j = np.arange(queries)[:, None], np.arange(keys)\ns = j <= i\n"
            "return s if window is None else s & (j > i - window)"
        ),
        "window one too wide": (
            "i, j = np.arange(keys - queries, keys)[:, None], np.arange(keys)\ns = j <= i\n"
            "return s if window is None else s & (j >= i - window)"
        ),
        "not itself": (
            "i, j = np.arange(keys - queries, keys)[:, None], np.arange(keys)\ns = j < i\n"
            "return s if window is None else s & (j > i - window)"
        ),
        "window forgotten": "i, j = np.arange(keys - queries, keys)[:, None], np.arange(keys)\nreturn j <= i",
        "both ways": (
            "i, j = np.arange(keys - queries, keys)[:, None], np.arange(keys)\n"
            "return j <= i if window is None else np.abs(i - j) < window"
        ),
    },
    "causal_mask": {
        "-1e9": (
            "n = attention_mask.shape[1]\ns = np.arange(n) <= np.arange(n - queries, n)[:, None]\n"
            "return np.where(s & (attention_mask[:, None] == 1), 0, -1e9).astype(np.float32)"
        ),
        "two lowest numbers added": (
            "n = attention_mask.shape[1]\nlow = np.finfo(np.float32).min\ns = np.arange(n) <= np.arange(n - queries, n)[:, None]\n"
            "return np.where(s, np.float32(0), low) + np.where(attention_mask[:, None] == 1, np.float32(0), low)"
        ),
        "-infinity": (
            "n = attention_mask.shape[1]\ns = np.arange(n) <= np.arange(n - queries, n)[:, None]\n"
            "return np.where(s & (attention_mask[:, None] == 1), 0, -np.inf).astype(np.float32)"
        ),
        "no padding": (
            "n = attention_mask.shape[1]\ns = np.arange(n) <= np.arange(n - queries, n)[:, None]\n"
            "return np.broadcast_to(np.where(s, np.float32(0), np.finfo(np.float32).min), (len(attention_mask), queries, n))"
        ),
        "no offset": (
            "n = attention_mask.shape[1]\ns = np.arange(n) <= np.arange(queries)[:, None]\n"
            "return np.where(s & (attention_mask[:, None] == 1), np.float32(0), np.finfo(np.float32).min)"
        ),
    },
    "rotary_tables": {
        "2 forgotten": (
            "f = theta ** (-np.arange(head_dim // 2) / head_dim)\na = positions[..., None] * f\n"
            "return np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)"
        ),
        "sign of the exponent": (
            "f = theta ** (2 * np.arange(head_dim // 2) / head_dim)\na = positions[..., None] * f\n"
            "return np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)"
        ),
        "sin, cos": (
            "f = theta ** (-2 * np.arange(head_dim // 2) / head_dim)\na = positions[..., None] * f\n"
            "return np.sin(a).astype(np.float32), np.cos(a).astype(np.float32)"
        ),
        "whole head": (
            "f = theta ** (-2 * np.arange(head_dim // 2) / head_dim)\na = positions[..., None] * np.concatenate([f, f])\n"
            "return np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)"
        ),
    },
    "rotate": {
        "neighbours paired": (
            "a, b = x[..., ::2], x[..., 1::2]\nc, s = cos[:, None], sin[:, None]\nout = np.empty_like(x)\n"
            "out[..., ::2] = a * c - b * s\nout[..., 1::2] = b * c + a * s\nreturn out"
        ),
        "sign": (
            "a, b = np.split(x, 2, -1)\nc, s = cos[:, None], sin[:, None]\nreturn np.concatenate([a * c + b * s, b * c - a * s], -1)"
        ),
        "overwritten a": (
            "h = x.shape[-1] // 2\nc, s = cos[:, None], sin[:, None]\nout = x.copy()\n"
            "out[..., :h] = out[..., :h] * c - out[..., h:] * s\nout[..., h:] = out[..., h:] * c + out[..., :h] * s\nreturn out"
        ),
    },
    "grouped_query_attention": {
        "tiled heads": (
            "b, h, t, d = q.shape\ng = h // k.shape[1]\nk, v = np.tile(k, (1, g, 1, 1)), np.tile(v, (1, g, 1, 1))\n"
            "s = q @ k.swapaxes(-1, -2) / np.sqrt(d) + mask\ne = np.exp(s - s.max(-1, keepdims=True))\n"
            "return (e / e.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(b, t, h * d)"
        ),
        "mask forgotten": (
            "b, h, t, d = q.shape\ng = h // k.shape[1]\nk, v = np.repeat(k, g, 1), np.repeat(v, g, 1)\n"
            "s = q @ k.swapaxes(-1, -2) / np.sqrt(d)\ne = np.exp(s - s.max(-1, keepdims=True))\n"
            "return (e / e.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(b, t, h * d)"
        ),
        "heads not moved": (
            "b, h, t, d = q.shape\ng = h // k.shape[1]\nk, v = np.repeat(k, g, 1), np.repeat(v, g, 1)\n"
            "s = q @ k.swapaxes(-1, -2) / np.sqrt(d) + mask\ne = np.exp(s - s.max(-1, keepdims=True))\n"
            "return (e / e.sum(-1, keepdims=True) @ v).reshape(b, t, h * d)"
        ),
        "mask before the scale": (
            "b, h, t, d = q.shape\ng = h // k.shape[1]\nk, v = np.repeat(k, g, 1), np.repeat(v, g, 1)\n"
            "s = (q @ k.swapaxes(-1, -2) + mask) / np.sqrt(d)\ne = np.exp(s - s.max(-1, keepdims=True))\n"
            "return (e / e.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(b, t, h * d)"
        ),
        "softmax over queries": (
            "b, h, t, d = q.shape\ng = h // k.shape[1]\nk, v = np.repeat(k, g, 1), np.repeat(v, g, 1)\n"
            "s = q @ k.swapaxes(-1, -2) / np.sqrt(d) + mask\ne = np.exp(s - s.max(-2, keepdims=True))\n"
            "return (e / e.sum(-2, keepdims=True) @ v).swapaxes(1, 2).reshape(b, t, h * d)"
        ),
    },
    "greedy": {
        "end left out": (
            "out = []\nfor _ in range(new_tokens):\n    t = int(np.argmax(model(prompt + out)))\n    if t == end:\n        break\n"
            "    out.append(t)\nreturn out"
        ),
        "prompt returned": (
            "ids = list(prompt)\nfor _ in range(new_tokens):\n    t = int(np.argmax(model(ids)))\n    ids.append(t)\n"
            "    if t == end:\n        break\nreturn ids"
        ),
        "prompt changed": (
            "out = []\nfor _ in range(new_tokens):\n    t = int(np.argmax(model(prompt)))\n    prompt.append(t)\n    out.append(t)\n"
            "    if t == end:\n        break\nreturn out"
        ),
        "only the last token": (
            "out = []\nlast = prompt\nfor _ in range(new_tokens):\n    t = int(np.argmax(model(last)))\n    last = [t]\n    out.append(t)\n"
            "    if t == end:\n        break\nreturn out"
        ),
        "never ends": (
            "out = []\nfor _ in range(new_tokens):\n    out.append(int(np.argmax(model(prompt + out))))\nreturn out"
        ),
    },
    "repetition_penalty": {
        "always divided": (
            "out = scores.copy()\nfor r, row in enumerate(ids):\n    for t in set(row.tolist()):\n        out[r, t] /= penalty\nreturn out"
        ),
        "for every time": (
            "out = scores.copy()\nfor r, row in enumerate(ids):\n    for t in row:\n"
            "        out[r, t] = out[r, t] / penalty if out[r, t] > 0 else out[r, t] * penalty\nreturn out"
        ),
        "rows together": (
            "out = scores.copy()\nfor t in np.unique(ids):\n"
            "    out[:, t] = np.where(out[:, t] > 0, out[:, t] / penalty, out[:, t] * penalty)\nreturn out"
        ),
        "subtracted": (
            "out = scores.copy()\nfor r, row in enumerate(ids):\n    for t in set(row.tolist()):\n        out[r, t] -= penalty\nreturn out"
        ),
    },
    "draw_token": {
        "argmax of the first above": (
            "z = logits / temperature\ne = np.exp(z - z.max(1, keepdims=True))\np = e / e.sum(1, keepdims=True)\n"
            "return np.argmax(np.cumsum(p, 1) > uniform[:, None], axis=1)"
        ),
        "multiplied": (
            "z = logits * temperature\ne = np.exp(z - z.max(1, keepdims=True))\nc = np.cumsum(e, 1)\n"
            "return (c <= uniform[:, None] * c[:, -1:]).sum(1)"
        ),
        "likeliest": "return logits.argmax(1)",
        "left edge": (
            "z = logits / temperature\ne = np.exp(z - z.max(1, keepdims=True))\nc = np.cumsum(e, 1)\n"
            "return (c < uniform[:, None] * c[:, -1:]).sum(1)"
        ),
        "no temperature": (
            "e = np.exp(logits - logits.max(1, keepdims=True))\nc = np.cumsum(e, 1)\nreturn (c <= uniform[:, None] * c[:, -1:]).sum(1)"
        ),
    },
    "top_p": {
        "the crossing token dropped": (
            "o = np.argsort(-scores, 1)\ns = np.take_along_axis(scores, o, 1)\ne = np.exp(s - s[:, :1])\n"
            "c = np.cumsum(e / e.sum(1, keepdims=True), 1)\nkeep = c <= p\nkeep[:, 0] = True\nout = np.full_like(scores, -np.inf)\n"
            "np.put_along_axis(out, o, np.where(keep, s, -np.inf), 1)\nreturn out"
        ),
        "nothing where the first is enough": (
            "o = np.argsort(-scores, 1)\ns = np.take_along_axis(scores, o, 1)\ne = np.exp(s - s[:, :1])\n"
            "c = np.cumsum(e / e.sum(1, keepdims=True), 1)\nout = np.full_like(scores, -np.inf)\n"
            "np.put_along_axis(out, o, np.where(c <= p, s, -np.inf), 1)\nreturn out"
        ),
        "left sorted": (
            "s = -np.sort(-scores, 1)\ne = np.exp(s - s[:, :1])\nq = e / e.sum(1, keepdims=True)\n"
            "return np.where(np.cumsum(q, 1) - q < p, s, -np.inf)"
        ),
        "above p by itself": (
            "e = np.exp(scores - scores.max(1, keepdims=True))\nq = e / e.sum(1, keepdims=True)\nreturn np.where(q >= p, scores, -np.inf)"
        ),
        "zeros": (
            "o = np.argsort(-scores, 1)\ns = np.take_along_axis(scores, o, 1)\ne = np.exp(s - s[:, :1])\nq = e / e.sum(1, keepdims=True)\n"
            "out = np.zeros_like(scores)\nnp.put_along_axis(out, o, np.where(np.cumsum(q, 1) - q < p, s, 0), 1)\nreturn out"
        ),
    },
    "update_cache": {
        "keeps what lay behind the length": (
            "b, h, n, d = store.shape\nend = length + keys.shape[2]\nwhile n < end:\n    n *= 2\nout = np.zeros((b, h, n, d), store.dtype)\n"
            "out[:, :, :store.shape[2]] = store\nout[:, :, length:end] = keys\nreturn out, out[:, :, :end]"
        ),
        "written into store": (
            "b, h, n, d = store.shape\nend = length + keys.shape[2]\nif n < end:\n    while n < end:\n        n *= 2\n"
            "    out = np.zeros((b, h, n, d), store.dtype)\n    out[:, :, :length] = store[:, :, :length]\n    store = out\n"
            "store[:, :, length:end] = keys\nreturn store, store[:, :, :end]"
        ),
        "doubled once": (
            "b, h, n, d = store.shape\nend = length + keys.shape[2]\nif n < end:\n    n *= 2\nout = np.zeros((b, h, n, d), store.dtype)\n"
            "out[:, :, :length] = store[:, :, :length]\nout[:, :, length:end] = keys\nreturn out, out[:, :, :end]"
        ),
        "grows to what is needed": (
            "b, h, n, d = store.shape\nend = length + keys.shape[2]\nout = np.zeros((b, h, max(n, end), d), store.dtype)\n"
            "out[:, :, :length] = store[:, :, :length]\nout[:, :, length:end] = keys\nreturn out, out[:, :, :end]"
        ),
        "new keys alone": (
            "b, h, n, d = store.shape\nend = length + keys.shape[2]\nwhile n < end:\n    n *= 2\nout = np.zeros((b, h, n, d), store.dtype)\n"
            "out[:, :, :length] = store[:, :, :length]\nout[:, :, length:end] = keys\nreturn out, out[:, :, length:end]"
        ),
    },
    "resize_matrix": {
        "no half pixel": (
            "s = size_in / size_out\nt = max(s, 1)\nc = np.arange(size_out)[:, None] * s\nj = np.arange(size_in)\n"
            "lo, hi = (c - support * t + 0.5).astype(int), (c + support * t + 0.5).astype(int)\n"
            "w = np.where((j >= lo) & (j < hi), kernel((j - c) / t), 0)\nreturn w / w.sum(1, keepdims=True)"
        ),
        "no antialias": (
            "s = size_in / size_out\nc = (np.arange(size_out)[:, None] + 0.5) * s\nj = np.arange(size_in)\n"
            "lo, hi = (c - support + 0.5).astype(int), (c + support + 0.5).astype(int)\n"
            "w = np.where((j >= lo) & (j < hi), kernel(j + 0.5 - c), 0)\nreturn w / w.sum(1, keepdims=True)"
        ),
        "not normalised": (
            "s = size_in / size_out\nt = max(s, 1)\nc = (np.arange(size_out)[:, None] + 0.5) * s\nj = np.arange(size_in)\n"
            "lo, hi = (c - support * t + 0.5).astype(int), (c + support * t + 0.5).astype(int)\n"
            "return np.where((j >= lo) & (j < hi), kernel((j + 0.5 - c) / t), 0)"
        ),
        "stretched when it grows": (
            "s = size_in / size_out\nt = s\nc = (np.arange(size_out)[:, None] + 0.5) * s\nj = np.arange(size_in)\n"
            "lo, hi = (c - support * t + 0.5).astype(int), (c + support * t + 0.5).astype(int)\n"
            "w = np.where((j >= lo) & (j < hi), kernel((j + 0.5 - c) / t), 0)\nreturn w / w.sum(1, keepdims=True)"
        ),
    },
    "round_to_bfloat16": {
        "cut": "return np.where(np.isnan(x), x, (x.view(np.uint32) & 0xFFFF0000).view(np.float32))",
        "half up": "b = x.view(np.uint32)\nreturn np.where(np.isnan(x), x, ((b + 0x8000) & 0xFFFF0000).view(np.float32))",
        "no NaN": "b = x.view(np.uint32)\nreturn ((b + 0x7FFF + ((b >> 16) & 1)) & 0xFFFF0000).view(np.float32)",
        "through float16": "return x.astype(np.float16).astype(np.float32)",
    },
    "beam_search": {
        "score not divided by length": (
            "run, done = [(0.0, [])], []\nfor _ in range(new_tokens):\n"
            "    c = [(s + float(l), t + [i]) for s, t in run for i, l in enumerate(model(prompt + t))]\n"
            "    c = sorted(c, key=lambda z: -z[0])[:2 * beams]\n    done += [z for z in c[:beams] if z[1][-1] == end]\n"
            "    run = [z for z in c if z[1][-1] != end][:beams]\nreturn max(done + run, key=lambda z: z[0])[1]"
        ),
        "only as many candidates as beams": (
            "run, done = [(0.0, [])], []\nfor _ in range(new_tokens):\n"
            "    c = [(s + float(l), t + [i]) for s, t in run for i, l in enumerate(model(prompt + t))]\n"
            "    c = sorted(c, key=lambda z: -z[0])[:beams]\n    done += [z for z in c if z[1][-1] == end]\n"
            "    run = [z for z in c if z[1][-1] != end]\nreturn max(done + run, key=lambda z: z[0] / len(z[1]))[1]"
        ),
        "running beams forgotten at the end": (
            "run, done = [(0.0, [])], []\nfor _ in range(new_tokens):\n"
            "    c = [(s + float(l), t + [i]) for s, t in run for i, l in enumerate(model(prompt + t))]\n"
            "    c = sorted(c, key=lambda z: -z[0])[:2 * beams]\n    done += [z for z in c[:beams] if z[1][-1] == end]\n"
            "    run = [z for z in c if z[1][-1] != end][:beams]\nreturn max(done or run, key=lambda z: z[0] / len(z[1]))[1]"
        ),
        "prompt in the length": (
            "run, done = [(0.0, [])], []\nfor _ in range(new_tokens):\n"
            "    c = [(s + float(l), t + [i]) for s, t in run for i, l in enumerate(model(prompt + t))]\n"
            "    c = sorted(c, key=lambda z: -z[0])[:2 * beams]\n    done += [z for z in c[:beams] if z[1][-1] == end]\n"
            "    run = [z for z in c if z[1][-1] != end][:beams]\n"
            "return max(done + run, key=lambda z: z[0] / (len(prompt) + len(z[1])))[1]"
        ),
    },
}
