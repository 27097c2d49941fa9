"""Tell the lists of a page that are text from its menus. The library Resiliparse takes all lists with bullets for
menus, and none with numbers."""

from __future__ import annotations

import re
from typing import Any

_FRAMES = ("nav", "header", "footer", "aside")
_OF_FRAME = re.compile(r"\b(?:nav|menu|share|social|tags?\b|breadcrumb|cookie)", re.IGNORECASE)  # in role, class or id
MOST = 300  # lists of a page; a page with more is an index
_DEEPEST = 50  # lists in lists; the text of each is indented, so many of them would fill the memory
_ELEMENT, _TEXT_NODE = 1, 3


def number_lists(tree: Any) -> None:
    """Turn the lists with bullets of an HTMLTree into numbered ones, unless they stand in a frame or are mostly
    links."""
    from resiliparse.parse.html import traverse_dom

    lists = _Lists()
    traverse_dom(tree.document, lists.enter, lists.leave, elements_only=False)
    for node in lists.found:
        numbered = tree.create_element("ol")
        for name in node.attrs:
            numbered[name] = node[name]
        while node.first_child:
            numbered.append_child(node.first_child)
        node.parent.replace_child(numbered, node)


class _Lists:
    """Walks through a page. `found` are the lists that are text."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self._open: list[tuple[int, int]] = []  # characters and linked ones before each list
        self._text = self._linked = 0
        self._links = self._frames = 0  # around this node

    def enter(self, context: Any) -> None:
        """Count the text of a node, or what it opens."""
        node = context.node
        if node.type == _TEXT_NODE:
            size = len(node.value.strip())
            self._text += size
            self._linked += size if self._links else 0
        if node.type != _ELEMENT:
            return
        self._frames += _is_frame(node)
        if node.tag == "ul":
            self._open.append((self._text, self._linked))
        elif node.tag == "a":
            self._links += 1

    def leave(self, context: Any) -> None:
        """Close what a node has opened."""
        node = context.node
        if node.type != _ELEMENT:
            return
        if node.tag == "ul":
            text, linked = self._open.pop()
            is_menu = 2 * (self._linked - linked) > self._text - text
            if not (is_menu or self._frames or len(self._open) >= _DEEPEST):
                self.found.append(node)
        elif node.tag == "a":
            self._links -= 1
        self._frames -= _is_frame(node)


def _is_frame(node: Any) -> bool:
    named = " ".join(str(node.getattr(name) or "") for name in ("role", "class", "id"))
    return node.tag in _FRAMES or bool(_OF_FRAME.search(named))
