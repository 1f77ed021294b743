"""Conversations rendered in plain code against Jinja's rendering of the template, through transformers."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from ovis2_ref.convention import ORIGINAL
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.text.chat import CHAT_TEMPLATE, SYSTEM_PROMPT, check_chat_template, render_chat
from tests.text.drawn import conversations, texts
from tests.text.reference import V5, reference_processor

GOLDEN = Path(__file__).parent.parent / "golden_original"


@given(messages=conversations, prompting=st.booleans())
def test_what_the_template_renders(messages: list[dict], prompting: bool) -> None:
    expected = reference_processor().apply_chat_template(messages, add_generation_prompt=prompting, tokenize=False)
    assert render_chat(messages, add_generation_prompt=prompting) == expected


@pytest.mark.skipif(not V5, reason="transformers 4.56 closes a last message whose text is empty or ends in white space")
@given(messages=conversations)
@example(messages=[{"role": "user", "content": [{"type": "text", "text": "before"}, {"type": "image"}]}])
def test_the_last_message_left_open(messages: list[dict]) -> None:
    """What transformers refuses to continue (no text, or a text of a part that isn't shown) we refuse."""
    last = messages[-1]["content"]
    texts_shown = (
        [part["type"] == "text" for part in reversed(last) if "text" in part] if isinstance(last, list) else [True]
    )
    if not texts_shown or not texts_shown[0]:
        return
    rendered, _ = render_jinja_template([messages], chat_template=CHAT_TEMPLATE, continue_final_message=True)
    assert render_chat(messages, continue_final_message=True) == rendered[0]


@pytest.mark.skipif(not V5, reason="transformers 4.56 does not know these forms")
@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": ({"type": "image"}, {"type": "text", "text": "as a tuple"})},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "?"}]},
    ],
)
def test_other_forms_of_a_message(message: dict) -> None:
    assert render_chat([message]) == reference_processor().apply_chat_template([message], tokenize=False)


@pytest.mark.parametrize("case", json.loads((GOLDEN / "cases.json").read_text()), ids=lambda case: case["image"])
def test_prompts_of_the_authors(case: dict) -> None:
    messages = [{"role": "user", "content": case["text"]}]
    assert render_chat(messages, add_generation_prompt=True, convention=ORIGINAL) == case["prompt"]


@given(system=texts, user=texts)
def test_a_system_message_of_ones_own(system: str, user: str) -> None:
    """The authors' formatter replaces the default by it (AIDC-AI/Ovis, branch v2.0, conversation_formatter.py)."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    expected = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    default = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    assert render_chat(messages, add_generation_prompt=True, convention=ORIGINAL) == expected
    assert render_chat(messages, add_generation_prompt=True) == default + expected


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "a text",
        None,
        ["a text"],
        [{"content": "no role"}],
        [{"role": 5, "content": ""}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": ["a text"]}],
        [{"role": "user", "content": [{"text": "no type"}]}],
        [{"role": "user", "content": [{"type": "text"}]}],
    ],
    ids=repr,
)
def test_what_is_no_conversation_is_refused(messages: object) -> None:
    with pytest.raises(InputError, match=r"conversation|message|content|text part"):
        render_chat(messages)


def test_one_way_of_ending_at_a_time() -> None:
    with pytest.raises(InputError, match="choose one"):
        render_chat([{"role": "user", "content": ""}], add_generation_prompt=True, continue_final_message=True)
    with pytest.raises(InputError, match="a text to continue"):
        render_chat([{"role": "user", "content": [{"type": "image"}]}], continue_final_message=True)


@pytest.mark.parametrize(
    "template",
    [CHAT_TEMPLATE, f"\n {CHAT_TEMPLATE}\n", CHAT_TEMPLATE.replace("\n", "\r\n"), CHAT_TEMPLATE.replace("\n", "\r")],
)
def test_our_template_is_taken(template: str) -> None:
    assert check_chat_template(template, "here") == SYSTEM_PROMPT
    rendered, _ = render_jinja_template([[{"role": "user", "content": "a"}]], chat_template=template.strip())
    assert rendered[0] == render_chat([{"role": "user", "content": "a"}])


@given(
    system=texts.filter(lambda text: not any(mark in text for mark in ("{{", "{%", "{#", "\r"))), messages=conversations
)
def test_an_edited_system_message(system: str, messages: list[dict]) -> None:
    """The template with another text in its place: what Jinja renders."""
    template = CHAT_TEMPLATE.replace(SYSTEM_PROMPT, system)
    assert check_chat_template(template, "here") == system
    rendered, _ = render_jinja_template([messages], chat_template=template)
    assert render_chat(messages, system=system) == rendered[0]


QWEN = (
    "{%- if tools %}\n    {{- '<|im_start|>system\\n' }}{%- endif %}{% for m in messages %}{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "it is no text, or empty"),
        (5, "it is no text"),
        ([CHAT_TEMPLATE], "it is no text"),
        ("{{ x }}", "at character 0 it has '{{ x }}'"),
        (QWEN, "{%- if tools %}"),
        (CHAT_TEMPLATE.replace(SYSTEM_PROMPT, "{{ 7 * 7 }}"), "not Ovis2's own"),
        (CHAT_TEMPLATE.replace("assistant\n", "assistant:\n"), ":\\n"),
        (CHAT_TEMPLATE[:40], "not Ovis2's own"),
        (CHAT_TEMPLATE.replace(SYSTEM_PROMPT, "Answer.").replace("'role'", "'name'"), "name"),
    ],
    ids=range(9),
)
def test_any_other_template_is_refused(template: object, words: str) -> None:
    with pytest.raises(CheckpointError, match=r"here: this chat template is not Ovis2's own") as error:
        check_chat_template(template, "here")
    assert words in str(error.value)
