"""transformers' tokenizer and processor, built without any network: a small byte-level BPE of Qwen2's kind, trained on the spot.

Built once for each version's API: 5.x takes a vocabulary and merges, 4.56 a tokenizer.json.
"""

import json
import tempfile
from functools import cache
from pathlib import Path

import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers.models.qwen2 import tokenization_qwen2

from ovis2_ref.text.chat import CHAT_TEMPLATE

V5 = int(transformers.__version__.split(".")[0]) >= 5
SIDE, TOKENS_PER_TILE = 28, 3
SPECIAL_TOKENS = ["<|im_start|>", "<IMG_ATOM>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
CORPUS = [
    "You are a helpful assistant. system user assistant",
    "Describe the image. How many red circles are there? There are 2 of them, aren't there?",
    "Ein Bild sagt mehr als tausend Worte. Voilà, déjà vu! 图片里有什么。一个红色的圆。",
]


@cache
def reference_tokenizer() -> transformers.PreTrainedTokenizerBase:
    """transformers' Qwen2 tokenizer with a vocabulary of some hundred tokens and Ovis2's special ones, none for the unknown."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    pattern = getattr(tokenization_qwen2, "PRETOKENIZE_REGEX", None) or tokenization_qwen2.PRETOKENIZE_REGEX
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(CORPUS * 2, trainer)
    named = {"unk_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "model_max_length": 64}
    if V5:
        trained = json.loads(bpe.to_str())["model"]
        merges = [tuple(merge) for merge in trained["merges"]]
        tokenizer = transformers.Qwen2Tokenizer(vocab=trained["vocab"], merges=merges, **named)
    else:
        with tempfile.TemporaryDirectory() as folder:
            bpe.save(f"{folder}/tokenizer.json")
            tokenizer = transformers.Qwen2TokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", **named)
    tokenizer.add_special_tokens({"extra_special_tokens" if V5 else "additional_special_tokens": SPECIAL_TOKENS})
    return tokenizer


@cache
def reference_processor() -> transformers.Ovis2Processor:
    """transformers' processor, with its Pillow image processor, for tiles of 28 px with three visual tokens each."""
    images = getattr(transformers, "Ovis2ImageProcessorPil", transformers.Ovis2ImageProcessor)(
        crop_to_patches=True, max_patches=4, size={"height": SIDE, "width": SIDE}
    )
    return transformers.Ovis2Processor(
        image_processor=images,
        tokenizer=reference_tokenizer(),
        chat_template=CHAT_TEMPLATE,
        image_seq_length=TOKENS_PER_TILE,
    )


@cache
def saved_reference() -> Path:
    """Return a folder with what transformers' processor saves."""
    folder = Path(tempfile.mkdtemp(prefix="ovis2_ref_processor_"))
    reference_processor().save_pretrained(folder)
    return folder
