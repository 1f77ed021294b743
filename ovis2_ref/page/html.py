"""Put the page together: one HTML file from the template, the JavaScript modules, the style, and what it carries."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

ROOM = Path(__file__).parent
IMPORT = re.compile(r'^import [^;]* from "(.+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=const |function|async |class )", re.MULTILINE)


def html_page(data: dict[str, Any], weights: bytes = b"") -> str:
    """Return the page that shows `data` (see `views/main.mjs`), with the weights of a live model.

    Its Content-Security-Policy lets nothing run but its own script and style, and nothing leave it.
    """
    script, style = script_of("views/main.mjs"), (ROOM / "page.css").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src {hash_of(script)}; style-src {hash_of(style)}; img-src data: blob:; "
        "worker-src blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "style": style,
        "data": as_json(data),
        "weights": base64.b64encode(weights).decode(),
        "worker": script_of("model/worker.mjs") if weights else "",
        "script": script,
    }
    template = (ROOM / "template.html").read_text("utf-8")
    return re.sub(r"{{(\w+)}}", lambda place: parts[place[1]], template)


def as_json(data: Any) -> str:
    """Return `data` as JSON that can stand inside a script element: no text in it can end the element or a line."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029\ud800-\udfff]", lambda character: f"\\u{ord(character[0]):04x}", text)


def script_of(entry: str) -> str:
    """Return a module and all that it imports as one script: each once, after those that it imports, without their import lines.

    So a page that was opened from a folder runs them too; browsers load no module from there.
    """
    parts: dict[Path, str] = {}

    def add(path: Path) -> None:
        if path in parts:
            return
        text = path.read_text("utf-8")
        for imported in IMPORT.findall(text):
            add((path.parent / imported).resolve())
        parts[path] = EXPORT.sub("", IMPORT.sub("", text))

    add((ROOM / entry).resolve())
    return '(() => {\n"use strict";\n' + "".join(parts.values()) + "})();\n"


def hash_of(text: str) -> str:
    """Return the source expression that allows an inline element with this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
