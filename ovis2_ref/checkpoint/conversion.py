"""Convert a checkpoint to plain weights in transformers' layout: rename keys, split qkv, add special tokens, unpack, adapt."""

from pathlib import Path

import numpy as np

from ovis2_ref.checkpoint.loading import find_faults, not_finite, raise_faults, read_config, read_generation_config
from ovis2_ref.checkpoint.names import EMBEDDINGS, expected_shapes
from ovis2_ref.checkpoint.safetensors_file import StoredTensor
from ovis2_ref.checkpoint.saving import write_configs, write_weights
from ovis2_ref.checkpoint.weight_files import StoredWeights, open_weights
from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.reading import checked_folder, read_json
from ovis2_ref.files.writing import replacing_files


def convert_original(source: str | Path, target: str | Path) -> None:
    """Write the model in `source`, a folder of the authors' layout, into the new folder `target` in transformers' layout.

    A folder of transformers' layout is taken, too, if its weights are packed, or if it has an adapter. Plain weights keep their
    bits and their types; packed ones are rounded to the type of their scales, adapted ones to that of the weight below. They are
    copied one at a time. The special tokens for pictures are added to the
    tokenizer and get rows of the text table that no token uses yet. The processor is the one that transformers makes. The folder
    appears when all of it is written, so a conversion that failed can be tried again.
    Raises `CheckpointError` if there is nothing to convert in `source`, if it is damaged, if its table has no free rows, or if
    `target` holds anything.
    """
    from ovis2_ref.text.processor import Ovis2Processor

    root, out = checked_folder(source), Path(target)
    layout = read_json(root, "config.json").get("model_type")
    tensors = open_weights(root)
    is_plain = all(isinstance(tensor, StoredTensor) for tensor in tensors.values())
    if layout != "ovis" and is_plain:
        raise CheckpointError(
            f"{root} is of model_type {layout!r} and has plain weights; the authors' layout, 'ovis', packed and adapted weights "
            "can be converted"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} is there already; give a folder that doesn't exist yet, or an empty one")
    config = read_config(root)
    last, rows = max(config.image_token_id, *config.visual_indicator_token_ids), config.text_config.vocab_size
    if last >= rows:
        raise CheckpointError(f"the special tokens would get ids up to {last}, and the text table has {rows} rows")
    shapes = expected_shapes(config)
    faults = find_faults(tensors, shapes)
    for name in shapes:
        if name not in faults and not all(np.isfinite(block).all() for block in tensors[name].blocks()):
            faults[name] = not_finite(tensors[name].dtype, tensors[name].shape)
    raise_faults(root, faults)
    slots = {name: (tensors[name].dtype, shape) for name, shape in shapes.items()}
    with replacing_files(out) as files:
        Ovis2Processor.from_pretrained(root).save_pretrained(files)
        write_configs(files, config, tensors[EMBEDDINGS].dtype, read_generation_config(root))
        write_weights(files, slots, StoredWeights(tensors))
