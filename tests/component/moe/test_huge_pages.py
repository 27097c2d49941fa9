"""Large new tensors are in huge pages: the kernel's list of mappings shows what it was asked for."""

import sys
from pathlib import Path

import pytest
import torch

from rxt_model.moe.huge_pages import PAGE_BYTES, empty_like

FLOATS = PAGE_BYTES // 4


def asked_for_huge(address):
    """Return whether the mapping that holds the address has the flag of MADV_HUGEPAGE."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if "-" in name and not name.endswith(":"):
            start, end = (int(part, 16) for part in name.split("-"))
            inside = start <= address < end
        elif inside and name == "VmFlags:":
            return "hg" in rest
    raise AssertionError(f"no mapping holds {address:x}")


@pytest.mark.skipif(sys.platform != "linux", reason="the flags are Linux's")
@pytest.mark.parametrize(("floats", "huge"), [(20 * FLOATS, True), (20 * FLOATS + 12_345, True), (1_000, False)])
def test_large_tensors_are_put_in_huge_pages_and_small_ones_are_not(floats, huge):
    before = torch.zeros(floats)
    fresh = empty_like(before)
    assert asked_for_huge(fresh.data_ptr() + fresh.nbytes // 2) == huge
    fresh.copy_(torch.arange(floats))
    assert torch.equal(fresh, torch.arange(floats).float())


@pytest.mark.parametrize(
    "like", [torch.empty(0, 3), torch.empty(4, 20 * FLOATS).t()[::2], torch.empty(9, device="meta")]
)
def test_shape_dtype_and_device_are_those_of_the_model(like):
    fresh = empty_like(like)
    assert (fresh.shape, fresh.dtype, fresh.device) == (like.shape, like.dtype, like.device)
    assert fresh.is_contiguous()
