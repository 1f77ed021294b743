"""What the text room's properties are drawn over: texts that are hard to tokenise, conversations."""

from hypothesis import strategies as st

from tests.text.reference import SPECIAL_TOKENS

ODD_PIECES = [
    *SPECIAL_TOKENS,
    "<|im_end|>",
    "<|endoftext|>",
    "<IMG_",
    "ATOM>",
    "<image",
    "image>",
    "don't I'LL",
    "e\u0301\u0327",
    "\ufb01\u212b\u1e9b\u0323",
    "\u1100\u1161\u11a8",
    "  \n\r\n\t ",
    "\u00a0\u3000\u2028",
    "1234567890 \u0663\u00bd",
    "\U0001f469\u200d\U0001f680",
    "\x00\ufeff\ufffd",
    "there? There are 2",
]
texts = st.lists(st.one_of(st.sampled_from(ODD_PIECES), st.text(max_size=12)), max_size=8).map("".join)
"""Any Unicode, special tokens and halves of them, contractions, white space of many kinds, what NFC composes."""

plain_texts = texts.map(lambda text: text.replace("<image>", ""))
"""The same without a place for a picture."""

_parts = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, plain_texts),
    st.just({"type": "image"}),
    st.just({"type": "video"}),
    st.just({"type": "image", "text": "not shown"}),
)
_contents = st.one_of(plain_texts, st.lists(_parts, max_size=4))
_roles = st.sampled_from(["user", "assistant", "system", "tool"])
messages = st.builds(lambda role, content: {"role": role, "content": content}, _roles, _contents)
conversations = st.lists(messages, min_size=1, max_size=4)
"""Turns of every role with texts or lists of parts, videos among them, a system message or none."""
