"""Watch torch: which operations run, and how many bytes of new tensors live at once."""

from __future__ import annotations

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# where the host waits for an accelerator: values are read back, or sizes depend on them
WAITING = {"_local_scalar_dense", "_unique2", "bincount", "equal", "masked_select", "nonzero", "repeat_interleave"}


class Watch(TorchDispatchMode):
    """`names` of the operations, in order; `peak`, the most bytes of their results that lived at once; `shapes` of all
    results."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.shapes: list[tuple[int, ...]] = []
        self.peak = self._live = 0
        self._known: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor):
                self._know(leaf, made=False)
        made = func(*args, **(kwargs or {}))
        self.names.append(func.overloadpacket.__name__)
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self._know(leaf, made=True)
        return made

    def _know(self, tensor: torch.Tensor, made: bool) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes() if made else 0
        if key in self._known:
            return
        self._known[key] = weakref.ref(storage, lambda _: self._forget(key, size))
        self._live += size
        self.peak = max(self.peak, self._live)
        if made:
            self.shapes.append(tuple(tensor.shape))

    def _forget(self, key: int, size: int) -> None:
        del self._known[key]
        self._live -= size
