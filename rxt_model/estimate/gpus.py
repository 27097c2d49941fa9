"""GPUs that a run can be planned for, as their makers state them.

Sources: NVIDIA's data sheets of A100, A10, L4, L40S, H100 SXM, H200 and B200, and its architecture papers "GA102" (RTX
A4000) and "Ada" (RTX 4090). Peaks are without sparsity; in bf16 sums are fp32, and fp32 runs without tensor cores, as
torch computes by default. The sheet of the L4 counts bf16 with sparsity; here it is halved. Networks are those of the
maker's own servers (DGX), one port per GPU. Cards without NVLink talk over PCIe.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """`memory` in bytes; `peak` in FLOP/s in bf16, `single_peak` in fp32; `bandwidth` of its memory, `link` to a GPU of
    the same machine and `network` to another machine in bytes per second and direction. A machine has
    `per_machine`."""

    name: str
    memory: int
    peak: float
    single_peak: float
    bandwidth: float
    link: float
    network: float
    per_machine: int = 8

    def flops(self, width: int) -> float:
        """Return the peak for numbers of so many bytes."""
        return self.peak if width == 2 else self.single_peak


GB = 10**9
_PCIE_4, _ETHERNET = 32e9, 12.5e9  # 16 lanes; 100 Gbit/s

GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("a4000-16gb", 16 * GB, 76.7e12, 19.2e12, 448e9, _PCIE_4, _ETHERNET, 4),
        Gpu("a10-24gb", 24 * GB, 125e12, 31.2e12, 600e9, _PCIE_4, _ETHERNET),
        Gpu("l4-24gb", 24 * GB, 121e12, 30.3e12, 300e9, _PCIE_4, _ETHERNET),
        Gpu("rtx4090-24gb", 24 * GB, 165.2e12, 82.6e12, 1008e9, _PCIE_4, _ETHERNET),
        Gpu("l40s-48gb", 48 * GB, 362e12, 91.6e12, 864e9, _PCIE_4, 25e9),
        Gpu("a100-40gb", 40 * GB, 312e12, 19.5e12, 1555e9, 300e9, 25e9),
        Gpu("a100-80gb", 80 * GB, 312e12, 19.5e12, 2039e9, 300e9, 25e9),
        Gpu("h100-80gb", 80 * GB, 989e12, 67e12, 3350e9, 450e9, 50e9),
        Gpu("h200-141gb", 141 * GB, 989e12, 67e12, 4800e9, 450e9, 50e9),
        Gpu("b200-180gb", 180 * GB, 2250e12, 75e12, 8000e9, 900e9, 50e9),
    )
}
