"""Mistakes as students make them, each written by hand as a whole body, before anybody looked at the names in the catalogue.

Exercise -> what the student did -> the body of their function. `test_names.py` says which name each of them gets.
"""

COMMON: dict[str, dict[str, str]] = {
    "covering_area": {
        "upscales small regions": """
            f = side / max(height, width)
            return f * height * f * width
        """,
        "factor used once": """
            f = min(1, side / max(height, width))
            return f * height * width
        """,
        "shorter edge": """
            f = min(1.0, side / min(height, width))
            return (f * height) * (f * width)
        """,
        "each edge by itself": """
            return min(height, side) * min(width, side)
        """,
        "whole pixels": """
            f = min(1, side / max(height, width))
            return int(f * height) * int(f * width)
        """,
    },
    "cubic": {
        "no abs": """
            a = -0.5
            return np.where(x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1,
                np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0.0))
        """,
        "OpenCV's a": """
            a = -0.75
            x = abs(x)
            return np.where(x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1,
                np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0.0))
        """,
        "a positive": """
            a = 0.5
            x = abs(x)
            return np.where(x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1,
                np.where(x < 2, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a, 0.0))
        """,
        "no zero beyond": """
            a = -0.5
            x = abs(x)
            return np.where(x < 1, (a + 2) * x**3 - (a + 3) * x**2 + 1,
                a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a)
        """,
    },
    "rms_norm": {
        "no keepdims": """
            return weight * x / np.sqrt((x ** 2).mean(-1) + eps)
        """,
        "mean of everything": """
            return weight * x / np.sqrt((x ** 2).mean() + eps)
        """,
        "layer norm": """
            c = x - x.mean(-1, keepdims=True)
            return weight * c / np.sqrt((c * c).mean(-1, keepdims=True) + eps)
        """,
        "eps outside": """
            return weight * x / (np.sqrt((x * x).mean(-1, keepdims=True)) + eps)
        """,
        "sum, not mean": """
            return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps) * weight
        """,
        "no weight": """
            return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
        """,
        "first axis": """
            return weight * x / np.sqrt(np.mean(x * x, axis=0, keepdims=True) + eps)
        """,
        "no square root": """
            return weight * x / (np.mean(x * x, axis=-1, keepdims=True) + eps)
        """,
    },
    "softmax": {
        "axis 0 twice": """
            e = np.exp(x - x.max(axis=0, keepdims=True))
            return e / e.sum(axis=0, keepdims=True)
        """,
        "no keepdims twice": """
            e = np.exp(x - x.max(axis=-1))
            return e / e.sum(axis=-1)
        """,
        "no maximum": """
            e = np.exp(x)
            return e / e.sum(axis=-1, keepdims=True)
        """,
        "everything": """
            e = np.exp(x - x.max())
            return e / e.sum()
        """,
    },
    "layer_norm": {
        "mean of squares as variance": """
            m = x.mean(-1, keepdims=True)
            v = (x ** 2).mean(-1, keepdims=True)
            return weight * (x - m) / np.sqrt(v + eps) + bias
        """,
        "eps outside": """
            m = x.mean(-1, keepdims=True)
            return weight * (x - m) / (x.std(-1, keepdims=True) + eps) + bias
        """,
        "sample variance": """
            m = x.mean(-1, keepdims=True)
            v = x.var(-1, keepdims=True, ddof=1)
            return weight * (x - m) / np.sqrt(v + eps) + bias
        """,
        "divided by the variance": """
            m = x.mean(-1, keepdims=True)
            v = x.var(-1, keepdims=True)
            return weight * (x - m) / (v + eps) + bias
        """,
        "no keepdims": """
            return weight * (x - x.mean(-1)) / np.sqrt(x.var(-1) + eps) + bias
        """,
        "weight times all": """
            m = x.mean(-1, keepdims=True)
            v = x.var(-1, keepdims=True)
            return weight * ((x - m) / np.sqrt(v + eps) + bias)
        """,
        "no bias": """
            m = x.mean(-1, keepdims=True)
            return weight * (x - m) / np.sqrt(x.var(-1, keepdims=True) + eps)
        """,
    },
    "pixel_values": {
        "channels last": """
            return ((levels * np.float32(factor) - mean) / std).astype(np.float32)
        """,
        "float64": """
            return (levels * factor - mean.astype(float)[:, None, None]) / std[:, None, None]
        """,
        "factor after": """
            return ((levels - mean[:, None, None]) / std[:, None, None] * factor).astype(np.float32)
        """,
        "multiplied by std": """
            return ((levels * factor - mean[:, None, None]) * std[:, None, None]).astype(np.float32)
        """,
    },
    "split_regions": {
        "no rest": """
            h, w = height // rows, width // columns
            return [(c * w, r * h, (c + 1) * w, (r + 1) * h) for r in range(rows) for c in range(columns)]
        """,
        "upper before left": """
            h, w = height // rows, width // columns
            return [(r * h, c * w, height if r == rows - 1 else (r + 1) * h,
                width if c == columns - 1 else (c + 1) * w) for r in range(rows) for c in range(columns)]
        """,
        "column by column": """
            h, w = height // rows, width // columns
            return [(c * w, r * h, width if c == columns - 1 else (c + 1) * w,
                height if r == rows - 1 else (r + 1) * h) for c in range(columns) for r in range(rows)]
        """,
        "width and height": """
            h, w = height // rows, width // columns
            return [(c * w, r * h, width - c * w if c == columns - 1 else w,
                height - r * h if r == rows - 1 else h) for r in range(rows) for c in range(columns)]
        """,
    },
    "choose_grid": {
        "best always": """
            return max(kept, key=lambda g: kept[g])
        """,
        "at least": """
            ok = [g for g in kept if kept[g] >= threshold]
            if ok:
                return min(ok, key=lambda g: (g[0] * g[1], -kept[g]))
            return max(kept, key=lambda g: (kept[g], -g[0] * g[1]))
        """,
        "first that keeps enough": """
            for g in kept:
                if kept[g] > threshold:
                    return g
            return max(kept, key=lambda g: (kept[g], -g[0] * g[1]))
        """,
        "no grid keeps enough: one tile": """
            ok = [g for g in kept if kept[g] > threshold]
            if ok:
                return min(ok, key=lambda g: (g[0] * g[1], -kept[g]))
            return (1, 1)
        """,
    },
    "swiglu": {
        "gate and up exchanged": """
            g, u = x @ gate_proj.T, x @ up_proj.T
            return (g * (u / (1 + np.exp(-u)))) @ down_proj.T
        """,
        "sigmoid only": """
            g, u = x @ gate_proj.T, x @ up_proj.T
            return (1 / (1 + np.exp(-g)) * u) @ down_proj.T
        """,
        "silu of the product": """
            g, u = x @ gate_proj.T, x @ up_proj.T
            h = g * u
            return (h / (1 + np.exp(-h))) @ down_proj.T
        """,
        "sign of the exponent": """
            g, u = x @ gate_proj.T, x @ up_proj.T
            return (g / (1 + np.exp(g)) * u) @ down_proj.T
        """,
        "added": """
            g, u = x @ gate_proj.T, x @ up_proj.T
            return (g / (1 + np.exp(-g)) + u) @ down_proj.T
        """,
    },
    "visual_tokens": {
        "softmax over tokens": """
            z = merged @ head.T
            z = norm_weight * (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5) + norm_bias
            e = np.exp(z - z.max(1, keepdims=True))
            return e / e.sum(1, keepdims=True)
        """,
        "no layer norm": """
            z = merged @ head.T
            e = np.exp(z - z.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True)
        """,
        "no softmax": """
            z = merged @ head.T
            return norm_weight * (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5) + norm_bias
        """,
        "eps of RMSNorm": """
            z = merged @ head.T
            z = norm_weight * (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-6) + norm_bias
            e = np.exp(z - z.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True)
        """,
    },
    "expected_embedding": {
        "argmax": """
            return table[tokens.argmax(-1)]
        """,
        "last rows": """
            return tokens @ table[-tokens.shape[-1]:]
        """,
        "normalised again": """
            e = tokens @ table[:tokens.shape[-1]]
            return e / tokens.shape[-1]
        """,
    },
    "scaled_attention": {
        "no scale": """
            s = q @ k.swapaxes(-1, -2)
            e = np.exp(s - s.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True) @ v
        """,
        "softmax over queries": """
            s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
            e = np.exp(s - s.max(-2, keepdims=True))
            return e / e.sum(-2, keepdims=True) @ v
        """,
        "scaled by the values' width": """
            s = q @ k.swapaxes(-1, -2) / np.sqrt(v.shape[-1])
            e = np.exp(s - s.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True) @ v
        """,
        "scaled by the width": """
            s = q @ k.swapaxes(-1, -2) / q.shape[-1]
            e = np.exp(s - s.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True) @ v
        """,
        "multiplied by the root": """
            s = q @ k.swapaxes(-1, -2) * np.sqrt(q.shape[-1])
            e = np.exp(s - s.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True) @ v
        """,
        "overflow": """
            s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
            e = np.exp(s)
            return e / e.sum(-1, keepdims=True) @ v
        """,
    },
    "fixed_point": {
        "NumPy's round": """
            return np.round(weights * 2 ** bits) / 2 ** bits
        """,
        "floor": """
            return np.floor(weights * 2 ** bits + 0.5) / 2 ** bits
        """,
        "cut": """
            return np.trunc(weights * 2 ** bits) / 2 ** bits
        """,
        "not divided": """
            s = weights * 2 ** bits
            return np.trunc(s + np.copysign(0.5, s))
        """,
    },
    "resize_pass": {
        "no clip": """
            return np.floor(weights @ picture + 0.5).astype(np.uint8)
        """,
        "no half": """
            return np.clip(np.floor(weights @ picture), 0, 255).astype(np.uint8)
        """,
        "half to even": """
            return np.clip(np.round(weights @ picture), 0, 255).astype(np.uint8)
        """,
        "clipped at 256": """
            return np.clip(np.floor(weights @ picture + 0.5), 0, 256).astype(np.uint8)
        """,
        "floats": """
            return np.clip(np.floor(weights @ picture + 0.5), 0, 255)
        """,
    },
    "image_layout": {
        "column after every tile": """
            t = ['<IMG_ATOM>'] * tokens_per_tile
            out = ['<IMG_START>', *t, '<IMG_GRID>']
            if rows * columns > 1:
                for r in range(rows):
                    for c in range(columns):
                        out += t + ['<IMG_COL>']
                    if r < rows - 1:
                        out.append('<IMG_ROW>')
            return out + ['<IMG_END>']
        """,
        "row after every row": """
            t = ['<IMG_ATOM>'] * tokens_per_tile
            out = ['<IMG_START>', *t, '<IMG_GRID>']
            if rows * columns > 1:
                for r in range(rows):
                    for c in range(columns):
                        out += t
                        if c < columns - 1:
                            out.append('<IMG_COL>')
                    out.append('<IMG_ROW>')
            return out + ['<IMG_END>']
        """,
        "1 x 1 with a tile": """
            t = ['<IMG_ATOM>'] * tokens_per_tile
            out = ['<IMG_START>', *t, '<IMG_GRID>']
            for r in range(rows):
                for c in range(columns):
                    out += t
                    if c < columns - 1:
                        out.append('<IMG_COL>')
                if r < rows - 1:
                    out.append('<IMG_ROW>')
            return out + ['<IMG_END>']
        """,
        "one atom": """
            t = ['<IMG_ATOM>']
            out = ['<IMG_START>', *t, '<IMG_GRID>']
            if rows * columns > 1:
                for r in range(rows):
                    for c in range(columns):
                        out += t
                        if c < columns - 1:
                            out.append('<IMG_COL>')
                    if r < rows - 1:
                        out.append('<IMG_ROW>')
            return out + ['<IMG_END>']
        """,
    },
    "split_heads": {
        "reshape only": """
            b, t, h = x.shape
            return x.reshape(b, heads, t, h // heads)
        """,
        "not transposed": """
            b, t, h = x.shape
            return x.reshape(b, t, heads, h // heads)
        """,
        "interleaved": """
            b, t, h = x.shape
            return x.reshape(b, t, h // heads, heads).transpose(0, 3, 1, 2)
        """,
    },
    "cut_tiles": {
        "thumbnail last": """
            c, h, w = canvas.shape
            s = thumbnail.shape[-1]
            t = [canvas[:, y:y + s, x:x + s] for y in range(0, h, s) for x in range(0, w, s)]
            return np.stack([*t, thumbnail] if len(t) > 1 else t)
        """,
        "thumbnail always": """
            c, h, w = canvas.shape
            s = thumbnail.shape[-1]
            t = [canvas[:, y:y + s, x:x + s] for y in range(0, h, s) for x in range(0, w, s)]
            return np.stack([thumbnail, *t])
        """,
        "column by column": """
            c, h, w = canvas.shape
            s = thumbnail.shape[-1]
            t = [canvas[:, y:y + s, x:x + s] for x in range(0, w, s) for y in range(0, h, s)]
            return np.stack([thumbnail, *t] if len(t) > 1 else t)
        """,
    },
    "patches": {
        "channels last": """
            n, c, h, w = pixel_values.shape
            r, q = h // p, w // p
            x = pixel_values[:, :, :r * p, :q * p].reshape(n, c, r, p, q, p)
            return x.transpose(0, 2, 4, 3, 5, 1).reshape(n, r * q, -1)
        """,
        "reshape only": """
            n, c, h, w = pixel_values.shape
            r, q = h // p, w // p
            return pixel_values[:, :, :r * p, :q * p].reshape(n, r * q, c * p * p)
        """,
        "cropped at the centre": """
            n, c, h, w = pixel_values.shape
            r, q = h // p, w // p
            y, z = (h - r * p) // 2, (w - q * p) // 2
            x = pixel_values[:, :, y:y + r * p, z:z + q * p].reshape(n, c, r, p, q, p)
            return x.transpose(0, 2, 4, 1, 3, 5).reshape(n, r * q, -1)
        """,
        "columns first": """
            n, c, h, w = pixel_values.shape
            r, q = h // p, w // p
            x = pixel_values[:, :, :r * p, :q * p].reshape(n, c, r, p, q, p)
            return x.transpose(0, 4, 2, 1, 3, 5).reshape(n, r * q, -1)
        """,
    },
    "merge_patches": {
        "neighbours in the row": """
            n, t, h = features.shape
            return features.reshape(n, t // stride**2, stride**2 * h)
        """,
        "features first": """
            n, t, h = features.shape
            m = round(t**0.5) // stride
            x = features.reshape(n, m, stride, m, stride, h)
            return x.transpose(0, 1, 3, 5, 2, 4).reshape(n, m * m, -1)
        """,
        "columns inside the square": """
            n, t, h = features.shape
            m = round(t**0.5) // stride
            x = features.reshape(n, m, stride, m, stride, h)
            return x.transpose(0, 1, 3, 4, 2, 5).reshape(n, m * m, -1)
        """,
    },
    "merge_embeddings": {
        "into the argument": """
            text[ids == atom_id] = visual.reshape(-1, visual.shape[-1])
            for i, k in enumerate(indicator_ids):
                text[ids == k] = indicators[i]
            return text
        """,
        "row = id - min(ids)": """
            out = text.copy()
            out[ids == atom_id] = visual.reshape(-1, visual.shape[-1])
            for k in indicator_ids:
                out[ids == k] = indicators[k - min(indicator_ids)]
            return out
        """,
        "no indicators": """
            out = text.copy()
            out[ids == atom_id] = visual.reshape(-1, visual.shape[-1])
            return out
        """,
        "first tile everywhere": """
            out = text.copy()
            for row in range(len(ids)):
                at = np.flatnonzero(ids[row] == atom_id)
                out[row, at] = visual.reshape(-1, visual.shape[-1])[:len(at)]
            for i, k in enumerate(indicator_ids):
                out[ids == k] = indicators[i]
            return out
        """,
    },
    "sliding_window": {
        "no offset": """
            i, j = np.arange(queries)[:, None], np.arange(keys)
            s = j <= i
            return s if window is None else s & (j > i - window)
        """,
        "window one too wide": """
            i, j = np.arange(keys - queries, keys)[:, None], np.arange(keys)
            s = j <= i
            return s if window is None else s & (j >= i - window)
        """,
        "not itself": """
            i, j = np.arange(keys - queries, keys)[:, None], np.arange(keys)
            s = j < i
            return s if window is None else s & (j > i - window)
        """,
        "window forgotten": """
            i, j = np.arange(keys - queries, keys)[:, None], np.arange(keys)
            return j <= i
        """,
        "both ways": """
            i, j = np.arange(keys - queries, keys)[:, None], np.arange(keys)
            return j <= i if window is None else np.abs(i - j) < window
        """,
    },
    "causal_mask": {
        "-1e9": """
            n = attention_mask.shape[1]
            s = np.arange(n) <= np.arange(n - queries, n)[:, None]
            return np.where(s & (attention_mask[:, None] == 1), 0, -1e9).astype(np.float32)
        """,
        "two lowest numbers added": """
            n = attention_mask.shape[1]
            low = np.finfo(np.float32).min
            s = np.arange(n) <= np.arange(n - queries, n)[:, None]
            return np.where(s, np.float32(0), low) + np.where(attention_mask[:, None] == 1, np.float32(0), low)
        """,
        "-infinity": """
            n = attention_mask.shape[1]
            s = np.arange(n) <= np.arange(n - queries, n)[:, None]
            return np.where(s & (attention_mask[:, None] == 1), 0, -np.inf).astype(np.float32)
        """,
        "no padding": """
            n = attention_mask.shape[1]
            s = np.arange(n) <= np.arange(n - queries, n)[:, None]
            return np.broadcast_to(np.where(s, np.float32(0), np.finfo(np.float32).min), (len(attention_mask), queries, n))
        """,
        "no offset": """
            n = attention_mask.shape[1]
            s = np.arange(n) <= np.arange(queries)[:, None]
            return np.where(s & (attention_mask[:, None] == 1), np.float32(0), np.finfo(np.float32).min)
        """,
    },
    "rotary_tables": {
        "2 forgotten": """
            f = theta ** (-np.arange(head_dim // 2) / head_dim)
            a = positions[..., None] * f
            return np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)
        """,
        "sign of the exponent": """
            f = theta ** (2 * np.arange(head_dim // 2) / head_dim)
            a = positions[..., None] * f
            return np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)
        """,
        "sin, cos": """
            f = theta ** (-2 * np.arange(head_dim // 2) / head_dim)
            a = positions[..., None] * f
            return np.sin(a).astype(np.float32), np.cos(a).astype(np.float32)
        """,
        "whole head": """
            f = theta ** (-2 * np.arange(head_dim // 2) / head_dim)
            a = positions[..., None] * np.concatenate([f, f])
            return np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)
        """,
    },
    "rotate": {
        "neighbours paired": """
            a, b = x[..., ::2], x[..., 1::2]
            c, s = cos[:, None], sin[:, None]
            out = np.empty_like(x)
            out[..., ::2] = a * c - b * s
            out[..., 1::2] = b * c + a * s
            return out
        """,
        "sign": """
            a, b = np.split(x, 2, -1)
            c, s = cos[:, None], sin[:, None]
            return np.concatenate([a * c + b * s, b * c - a * s], -1)
        """,
        "overwritten a": """
            h = x.shape[-1] // 2
            c, s = cos[:, None], sin[:, None]
            out = x.copy()
            out[..., :h] = out[..., :h] * c - out[..., h:] * s
            out[..., h:] = out[..., h:] * c + out[..., :h] * s
            return out
        """,
    },
    "grouped_query_attention": {
        "tiled heads": """
            b, h, t, d = q.shape
            g = h // k.shape[1]
            k, v = np.tile(k, (1, g, 1, 1)), np.tile(v, (1, g, 1, 1))
            s = q @ k.swapaxes(-1, -2) / np.sqrt(d) + mask
            e = np.exp(s - s.max(-1, keepdims=True))
            return (e / e.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(b, t, h * d)
        """,
        "mask forgotten": """
            b, h, t, d = q.shape
            g = h // k.shape[1]
            k, v = np.repeat(k, g, 1), np.repeat(v, g, 1)
            s = q @ k.swapaxes(-1, -2) / np.sqrt(d)
            e = np.exp(s - s.max(-1, keepdims=True))
            return (e / e.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(b, t, h * d)
        """,
        "heads not moved": """
            b, h, t, d = q.shape
            g = h // k.shape[1]
            k, v = np.repeat(k, g, 1), np.repeat(v, g, 1)
            s = q @ k.swapaxes(-1, -2) / np.sqrt(d) + mask
            e = np.exp(s - s.max(-1, keepdims=True))
            return (e / e.sum(-1, keepdims=True) @ v).reshape(b, t, h * d)
        """,
        "mask before the scale": """
            b, h, t, d = q.shape
            g = h // k.shape[1]
            k, v = np.repeat(k, g, 1), np.repeat(v, g, 1)
            s = (q @ k.swapaxes(-1, -2) + mask) / np.sqrt(d)
            e = np.exp(s - s.max(-1, keepdims=True))
            return (e / e.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(b, t, h * d)
        """,
        "softmax over queries": """
            b, h, t, d = q.shape
            g = h // k.shape[1]
            k, v = np.repeat(k, g, 1), np.repeat(v, g, 1)
            s = q @ k.swapaxes(-1, -2) / np.sqrt(d) + mask
            e = np.exp(s - s.max(-2, keepdims=True))
            return (e / e.sum(-2, keepdims=True) @ v).swapaxes(1, 2).reshape(b, t, h * d)
        """,
    },
    "greedy": {
        "end left out": """
            out = []
            for _ in range(new_tokens):
                t = int(np.argmax(model(prompt + out)))
                if t == end:
                    break
                out.append(t)
            return out
        """,
        "prompt returned": """
            ids = list(prompt)
            for _ in range(new_tokens):
                t = int(np.argmax(model(ids)))
                ids.append(t)
                if t == end:
                    break
            return ids
        """,
        "prompt changed": """
            out = []
            for _ in range(new_tokens):
                t = int(np.argmax(model(prompt)))
                prompt.append(t)
                out.append(t)
                if t == end:
                    break
            return out
        """,
        "only the last token": """
            out = []
            last = prompt
            for _ in range(new_tokens):
                t = int(np.argmax(model(last)))
                last = [t]
                out.append(t)
                if t == end:
                    break
            return out
        """,
        "never ends": """
            out = []
            for _ in range(new_tokens):
                out.append(int(np.argmax(model(prompt + out))))
            return out
        """,
    },
    "repetition_penalty": {
        "always divided": """
            out = scores.copy()
            for r, row in enumerate(ids):
                for t in set(row.tolist()):
                    out[r, t] /= penalty
            return out
        """,
        "for every time": """
            out = scores.copy()
            for r, row in enumerate(ids):
                for t in row:
                    out[r, t] = out[r, t] / penalty if out[r, t] > 0 else out[r, t] * penalty
            return out
        """,
        "rows together": """
            out = scores.copy()
            for t in np.unique(ids):
                out[:, t] = np.where(out[:, t] > 0, out[:, t] / penalty, out[:, t] * penalty)
            return out
        """,
        "subtracted": """
            out = scores.copy()
            for r, row in enumerate(ids):
                for t in set(row.tolist()):
                    out[r, t] -= penalty
            return out
        """,
    },
    "draw_token": {
        "argmax of the first above": """
            z = logits / temperature
            e = np.exp(z - z.max(1, keepdims=True))
            p = e / e.sum(1, keepdims=True)
            return np.argmax(np.cumsum(p, 1) > uniform[:, None], axis=1)
        """,
        "multiplied": """
            z = logits * temperature
            e = np.exp(z - z.max(1, keepdims=True))
            c = np.cumsum(e, 1)
            return (c <= uniform[:, None] * c[:, -1:]).sum(1)
        """,
        "likeliest": """
            return logits.argmax(1)
        """,
        "left edge": """
            z = logits / temperature
            e = np.exp(z - z.max(1, keepdims=True))
            c = np.cumsum(e, 1)
            return (c < uniform[:, None] * c[:, -1:]).sum(1)
        """,
        "no temperature": """
            e = np.exp(logits - logits.max(1, keepdims=True))
            c = np.cumsum(e, 1)
            return (c <= uniform[:, None] * c[:, -1:]).sum(1)
        """,
    },
    "top_p": {
        "the crossing token dropped": """
            o = np.argsort(-scores, 1)
            s = np.take_along_axis(scores, o, 1)
            e = np.exp(s - s[:, :1])
            c = np.cumsum(e / e.sum(1, keepdims=True), 1)
            keep = c <= p
            keep[:, 0] = True
            out = np.full_like(scores, -np.inf)
            np.put_along_axis(out, o, np.where(keep, s, -np.inf), 1)
            return out
        """,
        "nothing where the first is enough": """
            o = np.argsort(-scores, 1)
            s = np.take_along_axis(scores, o, 1)
            e = np.exp(s - s[:, :1])
            c = np.cumsum(e / e.sum(1, keepdims=True), 1)
            out = np.full_like(scores, -np.inf)
            np.put_along_axis(out, o, np.where(c <= p, s, -np.inf), 1)
            return out
        """,
        "left sorted": """
            s = -np.sort(-scores, 1)
            e = np.exp(s - s[:, :1])
            q = e / e.sum(1, keepdims=True)
            return np.where(np.cumsum(q, 1) - q < p, s, -np.inf)
        """,
        "above p by itself": """
            e = np.exp(scores - scores.max(1, keepdims=True))
            q = e / e.sum(1, keepdims=True)
            return np.where(q >= p, scores, -np.inf)
        """,
        "zeros": """
            o = np.argsort(-scores, 1)
            s = np.take_along_axis(scores, o, 1)
            e = np.exp(s - s[:, :1])
            q = e / e.sum(1, keepdims=True)
            out = np.zeros_like(scores)
            np.put_along_axis(out, o, np.where(np.cumsum(q, 1) - q < p, s, 0), 1)
            return out
        """,
    },
    "update_cache": {
        "keeps what lay behind the length": """
            b, h, n, d = store.shape
            end = length + keys.shape[2]
            while n < end:
                n *= 2
            out = np.zeros((b, h, n, d), store.dtype)
            out[:, :, :store.shape[2]] = store
            out[:, :, length:end] = keys
            return out, out[:, :, :end]
        """,
        "written into store": """
            b, h, n, d = store.shape
            end = length + keys.shape[2]
            if n < end:
                while n < end:
                    n *= 2
                out = np.zeros((b, h, n, d), store.dtype)
                out[:, :, :length] = store[:, :, :length]
                store = out
            store[:, :, length:end] = keys
            return store, store[:, :, :end]
        """,
        "doubled once": """
            b, h, n, d = store.shape
            end = length + keys.shape[2]
            if n < end:
                n *= 2
            out = np.zeros((b, h, n, d), store.dtype)
            out[:, :, :length] = store[:, :, :length]
            out[:, :, length:end] = keys
            return out, out[:, :, :end]
        """,
        "grows to what is needed": """
            b, h, n, d = store.shape
            end = length + keys.shape[2]
            out = np.zeros((b, h, max(n, end), d), store.dtype)
            out[:, :, :length] = store[:, :, :length]
            out[:, :, length:end] = keys
            return out, out[:, :, :end]
        """,
        "new keys alone": """
            b, h, n, d = store.shape
            end = length + keys.shape[2]
            while n < end:
                n *= 2
            out = np.zeros((b, h, n, d), store.dtype)
            out[:, :, :length] = store[:, :, :length]
            out[:, :, length:end] = keys
            return out, out[:, :, length:end]
        """,
    },
    "resize_matrix": {
        "no half pixel": """
            s = size_in / size_out
            t = max(s, 1)
            c = np.arange(size_out)[:, None] * s
            j = np.arange(size_in)
            lo, hi = (c - support * t + 0.5).astype(int), (c + support * t + 0.5).astype(int)
            w = np.where((j >= lo) & (j < hi), kernel((j - c) / t), 0)
            return w / w.sum(1, keepdims=True)
        """,
        "no antialias": """
            s = size_in / size_out
            c = (np.arange(size_out)[:, None] + 0.5) * s
            j = np.arange(size_in)
            lo, hi = (c - support + 0.5).astype(int), (c + support + 0.5).astype(int)
            w = np.where((j >= lo) & (j < hi), kernel(j + 0.5 - c), 0)
            return w / w.sum(1, keepdims=True)
        """,
        "not normalised": """
            s = size_in / size_out
            t = max(s, 1)
            c = (np.arange(size_out)[:, None] + 0.5) * s
            j = np.arange(size_in)
            lo, hi = (c - support * t + 0.5).astype(int), (c + support * t + 0.5).astype(int)
            return np.where((j >= lo) & (j < hi), kernel((j + 0.5 - c) / t), 0)
        """,
        "stretched when it grows": """
            s = size_in / size_out
            t = s
            c = (np.arange(size_out)[:, None] + 0.5) * s
            j = np.arange(size_in)
            lo, hi = (c - support * t + 0.5).astype(int), (c + support * t + 0.5).astype(int)
            w = np.where((j >= lo) & (j < hi), kernel((j + 0.5 - c) / t), 0)
            return w / w.sum(1, keepdims=True)
        """,
    },
    "round_to_bfloat16": {
        "cut": """
            return np.where(np.isnan(x), x, (x.view(np.uint32) & 0xFFFF0000).view(np.float32))
        """,
        "half up": """
            b = x.view(np.uint32)
            return np.where(np.isnan(x), x, ((b + 0x8000) & 0xFFFF0000).view(np.float32))
        """,
        "no NaN": """
            b = x.view(np.uint32)
            return ((b + 0x7FFF + ((b >> 16) & 1)) & 0xFFFF0000).view(np.float32)
        """,
        "through float16": """
            return x.astype(np.float16).astype(np.float32)
        """,
    },
    "beam_search": {
        "score not divided by length": """
            run, done = [(0.0, [])], []
            for _ in range(new_tokens):
                c = [(s + float(l), t + [i]) for s, t in run for i, l in enumerate(model(prompt + t))]
                c = sorted(c, key=lambda z: -z[0])[:2 * beams]
                done += [z for z in c[:beams] if z[1][-1] == end]
                run = [z for z in c if z[1][-1] != end][:beams]
            return max(done + run, key=lambda z: z[0])[1]
        """,
        "only as many candidates as beams": """
            run, done = [(0.0, [])], []
            for _ in range(new_tokens):
                c = [(s + float(l), t + [i]) for s, t in run for i, l in enumerate(model(prompt + t))]
                c = sorted(c, key=lambda z: -z[0])[:beams]
                done += [z for z in c if z[1][-1] == end]
                run = [z for z in c if z[1][-1] != end]
            return max(done + run, key=lambda z: z[0] / len(z[1]))[1]
        """,
        "running beams forgotten at the end": """
            run, done = [(0.0, [])], []
            for _ in range(new_tokens):
                c = [(s + float(l), t + [i]) for s, t in run for i, l in enumerate(model(prompt + t))]
                c = sorted(c, key=lambda z: -z[0])[:2 * beams]
                done += [z for z in c[:beams] if z[1][-1] == end]
                run = [z for z in c if z[1][-1] != end][:beams]
            return max(done or run, key=lambda z: z[0] / len(z[1]))[1]
        """,
        "prompt in the length": """
            run, done = [(0.0, [])], []
            for _ in range(new_tokens):
                c = [(s + float(l), t + [i]) for s, t in run for i, l in enumerate(model(prompt + t))]
                c = sorted(c, key=lambda z: -z[0])[:2 * beams]
                done += [z for z in c[:beams] if z[1][-1] == end]
                run = [z for z in c if z[1][-1] != end][:beams]
            return max(done + run, key=lambda z: z[0] / (len(prompt) + len(z[1])))[1]
        """,
    },
    "dequantize": {
        "z - 1 as in the first version": """
            f = 32 // bits
            q = np.stack([(qweight >> bits * j) & (2**bits - 1) for j in range(f)], 1).reshape(-1, qweight.shape[1])
            z = np.stack([(qzeros >> bits * j) & (2**bits - 1) for j in range(f)], 2).reshape(len(qzeros), -1) + 1
            return (scales[g_idx] * (q - z[g_idx])).T
        """,
        "groups of neighbours": """
            f = 32 // bits
            q = np.stack([(qweight >> bits * j) & (2**bits - 1) for j in range(f)], 1).reshape(-1, qweight.shape[1])
            z = np.stack([(qzeros >> bits * j) & (2**bits - 1) for j in range(f)], 2).reshape(len(qzeros), -1)
            g = np.sort(g_idx)
            return (scales[g] * (q - z[g])).T
        """,
        "words one after another": """
            f = 32 // bits
            q = np.concatenate([(qweight >> bits * j) & (2**bits - 1) for j in range(f)])
            z = np.stack([(qzeros >> bits * j) & (2**bits - 1) for j in range(f)], 2).reshape(len(qzeros), -1)
            return (scales[g_idx] * (q - z[g_idx])).T
        """,
        "left as (in, out)": """
            f = 32 // bits
            q = np.stack([(qweight >> bits * j) & (2**bits - 1) for j in range(f)], 1).reshape(-1, qweight.shape[1])
            z = np.stack([(qzeros >> bits * j) & (2**bits - 1) for j in range(f)], 2).reshape(len(qzeros), -1)
            return scales[g_idx] * (q - z[g_idx])
        """,
    },
}
"""Indented by twelve blanks; `textwrap.dedent` makes a body of each."""
