"""Render a conversation as a prompt: Ovis2's chat template as plain code.

    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe the image."}]}]

    <|im_start|>system
    You are a helpful assistant.<|im_end|>
    <|im_start|>user
    <image>
    Describe the image.<|im_end|>
    <|im_start|>assistant

Nothing from a checkpoint is executed: its template must equal the one below, with any text as its system message.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ovis2_ref.convention import TRANSFORMERS, Convention
from ovis2_ref.errors import CheckpointError, InputError, OvisError
from ovis2_ref.files.checks import check_flags, shown

IMAGE_TOKEN = "<image>"
SYSTEM_PROMPT = "You are a helpful assistant."

CHAT_TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n'}}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<image>\n' }}"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{'<|im_end|>\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n' }}{% endif %}"
)
"""The template in the released checkpoints of transformers' layout (its convert_ovis2_weights_to_hf.py writes it), as saved."""


def check_chat_template(template: object, where: str, error: type[OvisError] = CheckpointError) -> str:
    """Return the default system message of `template`, which came from `where`.

    It has to be Ovis2's own, with any text as its system message; Windows' line ends and white space at its ends don't count.
    Raises `error` for any other, with the first difference.
    """
    text = re.sub(r"\r\n|\r", "\n", template).strip() if isinstance(template, str) else ""
    before, after = CHAT_TEMPLATE.strip().split(SYSTEM_PROMPT)
    if text.startswith(before) and text.endswith(after) and len(text) >= len(before + after):
        system = text[len(before) : len(text) - len(after)]
        if not any(mark in system for mark in ("{{", "{%", "{#")):
            return system
    raise error(
        f"{where}: this chat template is not Ovis2's own ({_difference(text)}), and templates are programs, which are never "
        "executed here. Put Ovis2's template in its place (ovis2_ref.text.chat.CHAT_TEMPLATE) or take it out, or render the "
        "prompt yourself and give it as text"
    )


def _difference(text: str) -> str:
    """Return where `text` begins to differ from the template, after the system message if that begins as there."""
    if not text:
        return "it is no text, or empty"
    before, after = CHAT_TEMPLATE.strip().split(SYSTEM_PROMPT)
    system = text[len(before) :].partition("<|im_end|>")[0] if text.startswith(before) else SYSTEM_PROMPT
    expected = before + system + after
    same = next(
        (i for i, (a, b) in enumerate(zip(text, expected, strict=False)) if a != b), min(len(text), len(expected))
    )
    return f"at character {same} it has {text[same : same + 40]!r}, and Ovis2's {expected[same : same + 40]!r}"


def render_chat(
    messages: Any,
    *,
    add_generation_prompt: bool = False,
    continue_final_message: bool = False,
    convention: Convention = TRANSFORMERS,
    system: str = SYSTEM_PROMPT,
) -> str:
    """Return the prompt for a conversation, as the template above renders it in transformers 5.24, with `system` as its default
    system message.

    A message has a `role` and a `content`: a text, or a list of parts {"type": "image"} and {"type": "text", "text": ...}.
    `add_generation_prompt` opens the assistant's turn; `continue_final_message` leaves the last message open after its last text.

    Quirks of the template, kept: the default system message comes first also where the conversation brings its own (the authors'
    `QwenConversationFormatter` replaces it); a picture is followed by a line break; parts of other types (videos) are dropped.
    Raises `InputError` for anything but a conversation.
    """
    check_flags(add_generation_prompt=add_generation_prompt, continue_final_message=continue_final_message)
    if add_generation_prompt and continue_final_message:
        raise InputError(
            "add_generation_prompt opens a new turn, continue_final_message continues the last: choose one"
        )
    check_conversation(messages)
    turns = [_turn(message) for message in messages]
    if continue_final_message:
        turns[-1] = _open_turn(messages[-1])
    if convention.default_system_always or messages[0]["role"] != "system":
        turns.insert(0, f"<|im_start|>system\n{system}<|im_end|>\n")
    return "".join(turns) + ("<|im_start|>assistant\n" if add_generation_prompt else "")


def check_conversation(messages: Any) -> None:
    """Raise `InputError` unless `messages` are a list with something in it."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes) or not messages:
        raise InputError(f"a conversation is a list of messages {{'role': ..., 'content': ...}}; got {shown(messages)}")


def conversation_list(conversation: Any) -> tuple[list[Any], bool]:
    """Return one conversation or several as a list, and whether they were several."""
    check_conversation(conversation)
    batched = isinstance(conversation[0], Sequence) and not isinstance(conversation[0], str)
    return list(conversation) if batched else [conversation], batched


def message_parts(message: Any) -> list[Mapping[str, Any]]:
    """Return the parts of a message's content: none for a missing one, one text part for a text, OpenAI's image_url as image."""
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise InputError(f"a message is a dictionary with a 'role' (a text) and a 'content'; got {shown(message)}")
    content = message.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, Sequence) or not all(isinstance(part, Mapping) and "type" in part for part in content):
        raise InputError(
            f"content should be a text or a list of parts such as {{'type': 'image'}} and {{'type': 'text', 'text': ...}}; "
            f"got {shown(content)}"
        )
    return [_image_part(part) if part["type"] == "image_url" else part for part in content]


def message_pictures(message: Any) -> list[Any]:
    """Return the pictures in a message's parts, in the places where transformers looks for them."""
    parts = [part for part in message_parts(message) if part["type"] == "image"]
    return [part[key] for part in parts for key in ("image", "url", "path", "base64") if key in part]


def _image_part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    url = part.get("image_url")
    return {"type": "image", "url": url.get("url", "") if isinstance(url, Mapping) else url}


def _render(part: Mapping[str, Any]) -> str:
    if part["type"] == "image":
        return f"{IMAGE_TOKEN}\n"
    if part["type"] != "text":
        return ""
    if not isinstance(part.get("text"), str):
        raise InputError(f"a text part should have a text: {{'type': 'text', 'text': ...}}; got {shown(part)}")
    return part["text"]


def _turn(message: Any) -> str:
    parts = message_parts(message)
    return f"<|im_start|>{message['role']}\n{''.join(map(_render, parts))}<|im_end|>\n"


def _open_turn(message: Any) -> str:
    parts = message_parts(message)
    texts = [i for i, part in enumerate(parts) if part["type"] == "text"]
    if not texts:
        raise InputError("continue_final_message needs a text to continue in the last message")
    return f"<|im_start|>{message['role']}\n{''.join(map(_render, parts[: texts[-1] + 1]))}"
