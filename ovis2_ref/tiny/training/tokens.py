"""The tokenizer: byte-level BPE of Qwen2's kind, trained on the requests, the answers and some plain English."""

from functools import cache

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from ovis2_ref.text.chat import IMAGE_TOKEN
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS
from ovis2_ref.text.tokenizer import Tokenizer
from ovis2_ref.text.tokenizer_files import QWEN2_PATTERN, TokenizerSettings
from ovis2_ref.tiny.training.questions import ASKERS, ask, in_other_words
from ovis2_ref.tiny.training.scenes import FIRST_TRAINING_SEED, draw_language_scene

SPECIAL_TOKENS = ("<|im_end|>", "<|endoftext|>", "<|im_start|>", IMAGE_TOKEN, IMAGE_ATOM, *INDICATORS)
VOCABULARY_SIZE = 566
GREETING = ("Hello", "Hello. Show me a picture and ask me about it.")
FRAME = "You are a helpful assistant.\nsystem\nuser\nassistant\nHello"
ENGLISH = """The north wind and the sun were disputing which was the stronger, when a traveller came along wrapped in a warm cloak.
They agreed that the one who first succeeded in making the traveller take his cloak off should be considered stronger
than the other. Then the north wind blew as hard as he could, but the more he blew, the more closely did the traveller
fold his cloak around him; and at last the north wind gave up the attempt. Then the sun shone out warmly, and at once
the traveller took off his cloak. And so the north wind was obliged to confess that the sun was the stronger of the two.
All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should
act towards one another in a spirit of brotherhood."""  # noqa: E501  wrapped anew it would train another tokenizer


def corpus() -> list[str]:
    """Gather what the tokenizer is trained on."""
    lines = FRAME.split("\n") * 100 + ENGLISH.split("\n") * 3 + list(GREETING) * 3
    for seed in range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 300):
        scene, rng = draw_language_scene(seed), np.random.default_rng(seed)
        questions = [question for kind in ASKERS if (question := ask(scene, kind, rng))]
        questions += [in_other_words(question, rng) for question in questions]
        lines += [text for question in questions for text in (question.request, question.answer)]
    return lines


@cache
def load_tokenizer() -> Tokenizer:
    """Train the tokenizer. It takes no time and gives the same one every time."""
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=VOCABULARY_SIZE, initial_alphabet=alphabet, show_progress=False)
    )
    bpe.add_special_tokens(list(SPECIAL_TOKENS))
    return Tokenizer(bpe, TokenizerSettings(eos_token="<|im_end|>", model_max_length=1024))
