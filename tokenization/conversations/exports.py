"""Bring chats that programs export into the schema of `conversations.chat`: ChatGPT, Claude, Open WebUI, LibreChat, LM
Studio, and the trees of OpenAssistant.

Most of these keep a tree, in which an answer that was asked for again stands beside the first one. One thread of it is
read: the one that was shown last, or the best ranked one. What the exports do not hold, such as pictures, makes a
conversation useless, so it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from tokenization.conversations.chat import chat
from tokenization.conversations.rows import FALSE, MISSING, NOT_SET, RowError, Struct, word
from tokenization.quarantine import Rejected
from tokenization.sources.source import Row

COLUMNS = frozenset({"mapping", "chat_messages", "message_tree_id"})
"""An export has one of these, or one that other chats have, too."""
OF_MESSAGES = frozenset({"message_id", "parent_id", "role", "text"})
OF_CHATS = frozenset({"role", "content"})
CHAT_IDS = frozenset({"conversation_id", "conversationId", "conversation_hash", "conv_id", "chat_id", "dialogue_id",
                      "dialog_id", "session_id", "thread_id", "conversation", "chat", "dialogue", "dialog", "session",
                      "thread"})  # fmt: skip
FIELDS = (
    COLUMNS | OF_MESSAGES | {"current_node", "prompt", "replies", "rank", "deleted", "review_result", "systemPrompt"}
)
_PARENTS = ("parentId", "parent_message_uuid", "parentMessageId", "parent_id")
_IDS = ("id", "uuid", "messageId", "message_id")
_CITATION = re.compile(r"[ ]?\ue200.*?\ue201|[ ]?【[^】\n]{0,40}†[^】\n]*】|[ ]?\[cite:[^\]\n]*\]", re.DOTALL)
_REASONING = re.compile(r"<details type=\"reasoning\"[^>]*>\s*<summary>.*?</summary>(.*?)</details>\s*", re.DOTALL)
_QUOTE = re.compile(r"^> ?", re.MULTILINE)
_NOT_SAID = ("user_editable_context", "model_editable_context", "reasoning_recap", "app_pairing_content")
_MOST = 10_000  # messages in one thread, or rows of one tree or chat


def as_chat(row: Struct) -> Struct:
    """Return the row of an export with its conversation in `messages`; any other row as it is, also if it has columns
    of these names beside messages or a question with its answer. Raises RowError."""
    try:
        return _as_chat(row)
    except (AttributeError, KeyError, TypeError) as error:
        raise RowError("not as programs export it", f"{type(error).__name__}: {error}") from error


def _as_chat(row: Struct) -> Struct:
    messages = row.get("messages")
    if _is_list_with(messages, "isCreatedByUser") and not messages[0].get("role"):
        return _with(row, _of_librechat(messages))  # it can be read as another chat: `sender` is the name of a model
    found = _found(row)
    return row if found is None or _is_chat(row) else _with(*found)


def _found(row: Struct) -> tuple[Struct, Iterator[Struct]] | None:
    """What tells about the conversation, and its messages; None if nothing in the row has the shape of an export."""
    if _is_tree(nodes := row.get("mapping")):
        return row, _of_chatgpt(nodes, row.get("current_node"))
    if _is_list_with(messages := row.get("chat_messages"), "sender"):
        return row, _of_claude(messages)
    told = row.get("chat")
    if isinstance(told, Mapping) and (isinstance(told.get("history"), Mapping) or _is_list(told.get("messages"))):
        return row, _of_open_webui(told)
    if isinstance(tree := row.get("prompt"), Mapping) and "replies" in tree:
        return {"lang": tree.get("lang")}, _of_tree(tree)
    if _is_list_with(messages := row.get("messages"), "versions") and _is_list(messages[0]["versions"]):
        return row, _of_lm_studio(messages)
    return None


def _is_tree(nodes: object) -> TypeGuard[Struct]:
    """Whether it has nodes of ChatGPT. Where rows have columns, all nodes of other rows are null in it."""
    found = [node for node in nodes.values() if node is not None] if isinstance(nodes, Mapping) else []
    return bool(found) and all(isinstance(each, Mapping) and ("message" in each or "parent" in each) for each in found)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_list_with(value: object, name: str) -> TypeGuard[Sequence[Any]]:
    """Whether it is a list of messages, of which the first one has a field of that name."""
    return _is_list(value) and bool(value) and isinstance(value[0], Mapping) and value[0].get(name) is not None


def _is_chat(row: Struct) -> bool:
    try:
        return bool(chat(row))
    except (RowError, RecursionError):
        return False


def _with(row: Struct, messages: Iterable[Struct]) -> Struct:
    """The row with these messages and nothing else of the export but its language and system prompt."""
    system = row.get("systemPrompt")
    kept = {name: row[name] for name in ("lang", "language", "system") if isinstance(row.get(name), str)}
    return kept | ({"system": system} if isinstance(system, str) and system else {}) | {"messages": list(messages)}


def thread(nodes: Mapping[Any, Struct], last: Any) -> list[Struct]:
    """Return the nodes from the root of a tree to the one with the id `last`."""
    found: list[Struct] = []
    seen = set()
    while isinstance(last, str) and last in nodes and isinstance(nodes[last], Mapping):
        if last in seen:
            raise RowError("its messages follow one another in a circle", last)
        seen.add(last)
        found.append(nodes[last])
        last = next((nodes[last][name] for name in ("parent", *_PARENTS) if nodes[last].get(name)), None)
    return found[::-1]


def _threaded(messages: Sequence[Struct], where: str) -> list[Struct]:
    """The thread that the last message ends, if the messages tell which one they follow, else all of them."""
    if not all(isinstance(message, Mapping) for message in messages):
        raise RowError(f"{where} holds no messages")
    name = next((name for name in _IDS if all(isinstance(each.get(name), str) for each in messages)), "")
    follow = any(message.get(parent) for message in messages for parent in _PARENTS)
    if not (name and follow and messages):
        return list(messages)
    return thread({message[name]: message for message in messages}, messages[-1][name])


def _of_chatgpt(nodes: Struct, last: object) -> Iterator[Struct]:
    if not (isinstance(last, str) and last in nodes):
        last = next(reversed(list(nodes)), None)
    for node in thread(nodes, last):
        message = node.get("message")
        if not isinstance(message, Mapping):
            continue
        about = message.get("metadata") or {}
        content, author = message.get("content") or {}, message.get("author") or {}
        kind = content.get("content_type")
        if about.get("is_visually_hidden_from_conversation") or kind in _NOT_SAID:
            continue
        role, where = author.get("role"), f"message {message.get('id')}"
        if kind == "thoughts":
            thoughts = "\n\n".join(str(each.get("content") or "") for each in content.get("thoughts") or ())
            if thoughts.strip():
                yield {"role": role, "content": "", "thinking": thoughts}
            continue
        text = _CITATION.sub("", _chatgpt_text(kind, content, where))
        if not text.strip():
            continue
        recipient = message.get("recipient") or "all"
        if role == "assistant" and recipient != "all":
            yield {"role": role, "content": "", "tool_calls": [{"name": recipient, "arguments": text}]}
        else:
            yield {"role": role, "content": text}


def _chatgpt_text(kind: object, content: Struct, where: str) -> str:
    match kind:
        case "text" | "multimodal_text":
            return "\n".join(_parts(content.get("parts") or (), where))
        case "code" | "execution_output" | "tether_quote" | "system_error" | "sonic_webpage":
            return str(content.get("text") or "")
        case "tether_browsing_display":
            return str(content.get("result") or "")
    raise RowError("content that is no text", f"{where} is of type {kind!r}")


def _parts(parts: Iterable[Any], where: str) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Mapping) and part.get("content_type") == "audio_transcription":
            part = part.get("text")
        if not isinstance(part, str):
            told = part.get("content_type") if isinstance(part, Mapping) else type(part).__name__
            raise RowError("content that is no text", f"{where} has a part of type {told!r}")
        yield part


def _of_claude(messages: Sequence[Struct]) -> Iterator[Struct]:
    for number, message in enumerate(_threaded(messages, "chat_messages")):
        where = f"chat_messages[{number}]"
        attached = [each for each in message.get("attachments") or () if isinstance(each, Mapping)]
        named = {each.get("file_name") for each in attached if each.get("extracted_content")}
        lost = [each.get("file_name") for each in (*attached, *(message.get("files") or ()))]
        if lost := [name for name in lost if name not in named]:
            raise RowError("a file that the export does not hold", f"{where}, {lost[0]!r}")
        content = [part for part in message.get("content") or () if part.get("type") not in ("token_budget", "flag")]
        content = content or [{"type": "text", "text": message.get("text") or ""}]
        files = [{"type": "text", "text": each["extracted_content"]} for each in attached]
        if any(part.get("type", "text") != "text" or str(part.get("text") or "").strip() for part in content) or files:
            yield {"role": message.get("sender"), "content": [*files, *content]}


def _of_open_webui(told: Struct) -> Iterator[Struct]:
    history = told.get("history")
    nodes = history.get("messages") if isinstance(history, Mapping) else None
    if isinstance(history, Mapping) and isinstance(nodes, Mapping) and nodes:
        messages = thread(nodes, history.get("currentId"))
    else:
        messages = _threaded(told.get("messages") or (), "chat.messages")
    if told.get("system"):
        yield {"role": "system", "content": told["system"]}
    for number, message in enumerate(messages):
        if message.get("files"):
            raise RowError("a file that the export does not hold", f"message {number}")
        content = message.get("content")
        thoughts: list[str] = []
        if isinstance(content, str):
            thoughts = [_QUOTE.sub("", each).strip() for each in _REASONING.findall(content)]
            content = _REASONING.sub("", content)
            if '<details type="' in content:
                raise RowError("what a tool did stands in the text", f"message {number}")
        if content or thoughts:
            yield {"role": message.get("role"), "content": content, "thinking": "\n\n".join(thoughts)}


def _of_librechat(messages: Sequence[Struct]) -> Iterator[Struct]:
    for message in _threaded(messages, "messages"):
        role = "user" if message.get("isCreatedByUser") else "assistant"
        content = message.get("text") or message.get("content")
        if content:
            yield {"role": role, "content": content}


def _of_lm_studio(messages: Sequence[Struct]) -> Iterator[Struct]:
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        versions, chosen = message.get("versions") or (), message.get("currentlySelected") or 0
        if not (isinstance(chosen, int) and 0 <= chosen < len(versions)):
            raise RowError("a message without a version", where)
        shown = versions[chosen]
        for step in shown.get("steps") or [shown]:
            if step.get("type") not in ("contentBlock", "singleStep"):
                continue  # what the program notes about the answer
            parts = step.get("content") or ()
            if other := next((part.get("type") for part in parts if part.get("type") != "text"), None):
                raise RowError("content that is no text", f"{where} is of type {other!r}")
            text = "\n".join(str(part.get("text") or "") for part in parts)
            is_thought = (step.get("style") or {}).get("type") == "thinking"
            role = step.get("role") or shown.get("role")
            if text.strip():
                yield {"role": role, "thinking": text} if is_thought else {"role": role, "content": text}


def _of_tree(message: Struct) -> Iterator[Struct]:
    """The thread of the replies that were ranked best; of those without ranks, of the first that is answered."""
    if not is_kept(message):
        raise RowError("its first message was deleted or rejected")
    for _ in range(_MOST):
        yield {"role": message.get("role"), "content": message.get("text"), "lang": message.get("lang")}
        replies = [each for each in message.get("replies") or () if is_kept(each)]
        if not replies:
            return
        message = min(replies, key=_place)
    raise RowError(f"more than {_MOST:,} messages in a thread")


def is_kept(message: Struct) -> bool:
    """Whether a message of OpenAssistant was neither deleted nor rejected by those who looked at it."""
    return word(message.get("deleted")) in NOT_SET and word(message.get("review_result")) not in FALSE


def _place(reply: Struct) -> tuple[float, bool]:
    rank = word(reply.get("rank"))
    try:
        return (float("inf") if rank in MISSING else float(rank), not reply.get("replies"))
    except ValueError:
        raise RowError("rank is no number", rank) from None


def joined(rows: Iterable[Row | Rejected]) -> Iterator[Row | Rejected]:
    """Join messages, one a row, to trees: `{"prompt": message}`, with the `replies` to each. The rows of a tree follow
    one another. A message whose parent is not among them is rejected."""
    held: list[Row] = []
    for row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        if held and (_begins_a_tree(row.values, held[-1].values) or len(held) == _MOST):
            yield from _trees(held)
            held = []
        held.append(row)
    yield from _trees(held)


def joined_chats(rows: Iterable[Row | Rejected]) -> Iterator[Row | Rejected]:
    """Join messages, one a row, to chats: `{"messages": [message, ...]}`. A chat ends where the id of another stands,
    or a system message behind an answer; with the file if there is neither; and at what cannot be read."""
    held: list[Row] = []
    for row in rows:
        is_next = isinstance(row, Row) and len(held) < _MOST
        if held and not (is_next and _chat_id(row) == _chat_id(held[-1]) and not _begins_a_chat(row, held[-1])):
            yield held[0]._replace(values={"messages": [one.values for one in held]})
            held = []
        if isinstance(row, Row):
            held.append(row)
        else:
            yield row
    if held:
        yield held[0]._replace(values={"messages": [one.values for one in held]})


def _begins_a_chat(row: Row, before: Row) -> bool:
    roles = [word(one.values.get("role")) for one in (before, row)]
    return roles == ["assistant", "system"]


def _chat_id(row: Row) -> tuple[str, list[object]]:
    return row.file, [row.values.get(name) for name in sorted(CHAT_IDS)]


def _begins_a_tree(row: Struct, before: Struct) -> bool:
    tree = row.get("message_tree_id")
    return _is_root(row) if word(tree) in MISSING else tree != before.get("message_tree_id")


def _is_root(row: Struct) -> bool:
    return word(row.get("parent_id")) in MISSING


def _trees(rows: Sequence[Row]) -> Iterator[Row | Rejected]:
    messages: dict[Any, dict[str, Any]] = {}
    roots = []
    for row in rows:
        if not all(isinstance(row.values.get(name), Hashable) for name in ("message_id", "parent_id")):
            yield Rejected(row.file, row.place, "not as programs export it", "an id is a list or a struct")
        elif row.values.get("message_id") in messages:
            yield Rejected(row.file, row.place, "repeated", "a message of this id stands before it")
        else:
            messages[row.values.get("message_id")] = dict(row.values) | {"replies": [], "row": row}
    for message in messages.values():
        row, parent = message.pop("row"), message.get("parent_id")
        if _is_root(message):
            roots.append(row._replace(values={"prompt": message}))
        elif parent in messages:
            messages[parent]["replies"].append(message)
        else:
            yield Rejected(row.file, row.place, "no parent", f"{parent!r} is not beside it")
    yield from roots
