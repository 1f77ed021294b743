"""The safetensors reader against the `safetensors` library: files that it writes are read bit for bit; whatever header it refuses
is refused here too; and each false entry of a header is refused with its reason.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ovis2_ref.checkpoint.safetensors_file import HEADER_LIMIT, WEIGHT_DTYPES, all_finite, open_safetensors
from ovis2_ref.errors import CheckpointError
from tests.oracle import TORCH_DTYPES, to_numpy
from tests.strategies import seeds

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
FLOATS = sorted(TORCH_DTYPES)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.tuples(shapes, st.sampled_from(FLOATS)), max_size=6), seeds)
def test_what_the_library_writes(entries, seed):
    """Every number type and shape under every name; values as every compute type, rounded as torch rounds."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: (torch.randn(shape, generator=generator) * 1e5).to(TORCH_DTYPES[dtype])
        for name, (shape, dtype) in entries.items()
        if name != "__metadata__"
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file(tensors, path)
        found = open_safetensors(path)
        assert set(found) == set(tensors)
        for name, tensor in tensors.items():
            assert found[name].read(found[name].dtype).tobytes() == to_numpy(tensor).tobytes()
            for dtype in FLOATS:
                array = found[name].read(np.dtype(WEIGHT_DTYPES[KINDS[dtype]]))
                assert array.shape == tensor.shape
                assert array.tobytes() == to_numpy(tensor.to(TORCH_DTYPES[dtype])).tobytes()
                assert all_finite(array) == bool(tensor.to(TORCH_DTYPES[dtype]).isfinite().all())
                assert array.flags.aligned


KINDS = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def write(path, header, numbers, length=None):
    """Return a file with that header (an object, or bytes as they are), and `length` in place of its true length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + numbers)


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    """Return a header's entry."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


LIES = {
    "empty": (b"", b"", "no safetensors file is that short"),
    "no object": (b"[1, 2]    ", b"", "holds a JSON list"),
    "no JSON": (b'{"a": 1 ', b"", "can't be read as JSON"),
    "no UTF-8": (b'{"\xff\xfe": 1}', b"", "can't be read as JSON"),
    "brackets": (b'{"a": ' + b"[" * 100_000, b"", "can't be read as JSON"),
    "a name twice": (b'{"a": 1, "a": 1}', b"", "the key 'a' comes twice"),
    "metadata that is no text": ({"__metadata__": {"format": 3}}, b"", "__metadata__ should hold texts"),
    "metadata that is a list": ({"__metadata__": ["pt"]}, b"", "__metadata__ should hold texts"),
    "no entry": ({"a": 3}, b"", "described by dtype, shape and data_offsets"),
    "no dtype": ({"a": {"shape": [2], "data_offsets": [0, 8]}}, b"", "described by dtype, shape and data_offsets"),
    "unknown type": ({"a": entry("F33")}, b"12345678", "number type 'F33'"),
    "type of another kind": ({"a": entry(["F32"])}, b"12345678", "number type"),
    "negative size": ({"a": entry(shape=(-2,))}, b"12345678", "whole numbers from 0"),
    "a fraction": ({"a": entry(shape=(2.0,))}, b"12345678", "whole numbers from 0"),
    "true as a size": ({"a": entry(shape=(2, True))}, b"12345678", "whole numbers from 0"),
    "endless shape": ({"a": entry(shape=[1] * 100)}, b"12345678", "up to 8 whole numbers"),
    "a size beyond bounds": ({"a": entry(shape=(2**70,))}, b"12345678", "whole numbers from 0"),
    "a product beyond bounds": ({"a": entry(shape=(2**62, 2**62))}, b"12345678", "that make an array were expected"),
    "one offset": ({"a": entry(offsets=(0,))}, b"12345678", "two whole numbers"),
    "offsets reversed": ({"a": entry(offsets=(8, 0))}, b"12345678", "can't lie in the bytes 8 to 0"),
    "offsets negative": ({"a": entry(offsets=(-8, 0))}, b"12345678", "two whole numbers"),
    "too few bytes": ({"a": entry(offsets=(0, 4))}, b"12345678", "can't lie in the bytes 0 to 4"),
    "overlap": ({"a": entry(), "b": entry(offsets=(4, 12))}, b"x" * 12, "'b' overlaps"),
    "the same place": ({"a": entry(), "b": entry()}, b"x" * 8, "overlaps"),
    "gap": ({"a": entry(), "b": entry(offsets=(12, 20))}, b"x" * 20, "'b' leaves a gap"),
    "beyond the end": ({"a": entry(shape=(20,), offsets=(0, 80))}, b"x" * 8, "is cut short"),
    "more than it says": ({"a": entry()}, b"x" * 9, "continues after its last tensor"),
}


@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie(tmp_path, lie):
    header, numbers, reason = LIES[lie]
    path = tmp_path / "model.safetensors"
    write(path, header, numbers)
    with pytest.raises(CheckpointError, match=reason):
        open_safetensors(path)
    with pytest.raises(SafetensorError):
        safe_open(path, "pt")


@pytest.mark.parametrize("length", [HEADER_LIMIT + 1, 2**30, 2**63, 2**64 - 1, 1000])
def test_lengths_that_lie(tmp_path, length):
    path = tmp_path / "model.safetensors"
    write(path, {"a": entry()}, b"x" * 8, length)
    with pytest.raises(CheckpointError, match="claims"):
        open_safetensors(path)


def test_every_cut_is_found(tmp_path):
    """A file cut short after any number of bytes."""
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(6.0), "b": torch.ones(3, 3, dtype=torch.bfloat16)}, path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            open_safetensors(path)


def test_numbers_that_lie_askew(tmp_path):
    """A float32 at an odd byte is read as at an even one, into an aligned array."""
    path = tmp_path / "model.safetensors"
    numbers = np.arange(5, dtype=np.float32)
    for odd in (1, 0):
        header = {"a": entry("U8", (odd,), (0, odd)), "b": entry("F32", (5,), (odd, odd + 20))}
        text = json.dumps(header).encode()
        write(path, text + b" " * (-len(text) % 8), b"\x00" * odd + numbers.tobytes())
        tensor = open_safetensors(path)["b"]
        array = tensor.read(np.dtype(np.float32))
        assert (array == numbers).all()
        assert array.flags.aligned
        assert array.flags.writeable
        assert tensor.read(np.dtype(np.float64)).flags.writeable
