"""GPTQ: weights as whole numbers of 2, 4 or 8 bits, with a scale and a zero point for each group of inputs and each output.

Method: Frantar et al., 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers". Layout: that of
AutoGPTQ 0.7 and GPTQModel 2.1 (`checkpoint_format` "gptq", "gptq_v2"). A word of 32 bits holds f = 32 / bits numbers, the first
in the lowest bits. In place of `weight` (out, in) a file has

    qweight (in / f, out)       q: word (r, o) holds the inputs r f to r f + f - 1 of output o
    qzeros  (groups, out / f)   z: word (g, p) holds the outputs p f to p f + f - 1 of group g; "gptq" stores z - 1
    scales  (groups, out)       s
    g_idx   (in)                the group of each input; groups may be mixed (`desc_act`)
"""

from jaxtyping import Float, Int

from ovis2_ref.runtime.arrays import Array, array_module, widened


def dequantize(
    qweight: Int[Array, "in_words out"],
    qzeros: Int[Array, "groups out_words"],
    scales: Float[Array, "groups out"],
    g_idx: Int[Array, " in"],
    bits: int,
) -> Float[Array, "out in"]:
    """W[o, i] = s[g, o] (q[i, o] - z[g, o]) with g = g_idx[i], in float32; exact for scales of 16 bits.

    >>> import numpy as np
    >>> q, z, s = np.full((1, 8), 0x76543210), np.array([[0x88888888]]), np.full((1, 8), 0.5, np.float32)
    >>> dequantize(q, z, s, np.zeros(8, int), bits=4)[0].tolist()
    [-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5]
    """
    q = unpack(qweight, bits)  # (in, out)
    z = unpack(qzeros.T, bits).T  # (groups, out)
    return (widened(scales)[g_idx] * (q - z[g_idx])).T


def unpack(words: Int[Array, "n m"], bits: int) -> Int[Array, "n_f m"]:
    """Return the numbers in each word, from the lowest bits on, one below the other: number j is (word >> bits j) mod 2^bits."""
    shifts = array_module(words).arange(0, 32, bits, dtype="int32")[:, None]
    numbers = words[:, None] >> shifts & 2**bits - 1
    return numbers.astype("int16").reshape(-1, words.shape[1])


def plain_zeros(qzeros: Int[Array, "groups out_words"], bits: int) -> Int[Array, "groups out_words"]:
    """Return the words of z, from those of z - 1: add 1 to every number of every word, modulo 2^32."""
    return qzeros + qzeros.dtype.type((2**32 - 1) // (2**bits - 1))
