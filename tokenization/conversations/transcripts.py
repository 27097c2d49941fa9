"""Read chats that stand in one text, as they were rendered for a model or written down by hand.

Known are the templates of ChatML, Llama 2 and 3, Zephyr and Alpaca, and lines that begin with `Human:`, `### User:` and
the like, as in HH-RLHF, Guanaco and Vicuna.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_INST = re.compile(r"(<s>)?\s*\[INST\]\s*(?:<<SYS>>(.*?)<</SYS>>)?(.*?)\[/INST\]", re.DOTALL)
_SPOKEN = "human|user|assistant|system|instruction|input|response|bot|gpt|użytkownik|asystent"
_MARK = re.compile(
    rf"""<\|im_start\|>[ ]*(?P<chatml>\w+)[ ]*\n
    | <\|start_header_id\|>[ ]*(?P<llama>\w+)[ ]*<\|end_header_id\|>\s*
    | (?:^|\n)<\|(?P<zephyr>system|user|assistant)\|>[ ]*\n
    | (?:^|\n)[ ]*(?:\#\#\#[ ]*)?(?P<spoken>{_SPOKEN})[ ]*:[ ]*
    | (?<=.)\#\#\#[ ]*(?P<glued>human|assistant)[ ]*:[ ]*""",
    re.IGNORECASE | re.VERBOSE,
)
_END = re.compile(r"<\|(?:im_end|eot_id|end_of_text|begin_of_text|endoftext|end)\|>|</?s>")
_ROLES = {"instruction": "user", "input": "user", "response": "assistant"}
Said = tuple[str, str]


def transcript(text: str) -> list[Said]:
    """Return the role and the words of each message in the text, in order; nothing if it is no transcript of at least
    two roles. What stands before the first message, such as a preamble, is left out."""
    text = _INST.sub(_as_chatml, text)
    said = list(_messages(_END.sub("", text)))
    return said if len({role for role, _ in said}) > 1 else []


def _as_chatml(match: re.Match[str]) -> str:
    system = f"<|im_start|>system\n{match[2].strip()}\n" if match[2] else ""
    return f"\n{system}<|im_start|>user\n{match[3].strip()}\n<|im_start|>assistant\n"


def _messages(text: str) -> Iterator[Said]:
    marks = list(_MARK.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):  # a text without marks has an end
        role = next(filter(None, mark.groups())).lower()
        words = text[mark.end() : end].strip()
        if words:
            yield _ROLES.get(role, role), words
