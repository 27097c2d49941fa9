"""Attention at head width 32 on a GPU: which back end of torch, for rows of one document and for packed rows?

    python -m tests.benchmarks.kernels.attention

32,768 tokens, 8 query heads, 4 key heads (RxT-Beta), bf16, causal, forward + backward. Rows of one document need no
mask: every back end of scaled_dot_product_attention. Packed rows of several documents: the same with a boolean mask,
`varlen_attn`, and FlexAttention with a block mask, what `rxt_model.layers.visibility` uses. Every output is compared
with fp64 first. One JSON line per case is appended to results/attention.jsonl. Needs a GPU and torch 2.11 or newer, and
neither Ray nor an installed package.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from rxt_model.kernels.language import triton
from rxt_model.layers.attention import attend
from rxt_model.layers.visibility import same_document
from tests.benchmarks.record import RESULTS, append, environment

TOKENS, HEADS, KV_HEADS, WIDTH = 32768, 8, 4, 32
BACKENDS = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)


def implementations(rows: int, length: int, document: int) -> Iterator[tuple[str, Callable]]:
    """Name -> function of q, k, v [rows, heads, length, width] that returns [rows, heads, length, width]."""
    documents = (torch.arange(length, device="cuda") // document).expand(rows, length)
    packed = length != document
    causal = torch.ones(length, length, dtype=torch.bool, device="cuda").tril()
    mask = ((documents[:, :, None] == documents[:, None, :]) & causal)[:, None] if packed else None
    for backend in BACKENDS:

        def fused(q: Tensor, k: Tensor, v: Tensor, backend: SDPBackend = backend) -> Tensor:
            repeat = HEADS // KV_HEADS
            k, v = (part.repeat_interleave(repeat, 1) for part in (k, v))
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=not packed)

        yield backend.name.lower(), fused

    blocks = same_document(documents, documents, causal=True) if packed else None

    def ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, blocks, causal=True).unflatten(-1, (HEADS, -1)).transpose(1, 2)

    yield "ours", ours

    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return
    starts = torch.arange(0, TOKENS + 1, document, dtype=torch.int32, device="cuda")

    def varlen(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (part.repeat_interleave(HEADS // KV_HEADS, 1) for part in (k, v))
        q, k, v = (part.transpose(1, 2).flatten(0, 1) for part in (q, k, v))
        out = varlen_attn(q, k, v, starts, starts, document, document, window_size=(-1, 0))
        return out.unflatten(0, (rows, length)).transpose(1, 2)

    yield "varlen_attn", varlen


def forward_and_backward(call: Callable, q: Tensor, k: Tensor, v: Tensor, d_out: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(call(q, k, v), [q, k, v], d_out)


def error(call: Callable, q: Tensor, k: Tensor, v: Tensor, document: int) -> float:
    """Relative error (Frobenius norm) of the first row's output against fp64, document by document."""
    found = call(q, k, v)[0].double()
    k, v = (part[0].double().repeat_interleave(HEADS // KV_HEADS, 0) for part in (k, v))
    parts = zip(q[0].double().split(document, 1), k.split(document, 1), v.split(document, 1), strict=True)
    expected = torch.cat([F.scaled_dot_product_attention(*part, is_causal=True) for part in parts], 1)
    return ((found - expected).norm() / expected.norm()).item()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "attention.jsonl")
    arguments = parser.parse_args()
    if triton is None or not torch.cuda.is_available():
        print("attention.py: needs a GPU that torch can use, and Triton; there is none here", file=sys.stderr)
        return 2
    common = {
        "case": "attention_fwd_bwd",
        **environment("torch", device=torch.cuda.get_device_name()),
        "dtype": "bf16",
        "heads": [HEADS, KV_HEADS, WIDTH],
    }
    wrong = 0
    for length, document in ((1024, 1024), (4096, 4096), (4096, 1024), (8192, 1024), (4096, 256)):
        torch.manual_seed(0)
        rows = TOKENS // length
        q, k, v = (
            torch.randn(rows, heads, length, WIDTH, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            for heads in (HEADS, KV_HEADS, KV_HEADS)
        )
        d_out = torch.randn_like(q)
        for name, call in implementations(rows, length, document):
            line = common | {"impl": name, "shape": {"rows": rows, "length": length, "document": document}}
            try:
                with torch.no_grad():
                    line["error_to_fp64"] = error(call, q, k, v, document)
                step = partial(forward_and_backward, call, q, k, v, d_out)
                times = triton.testing.do_bench(step, rep=50, return_mode="all")
            except (RuntimeError, TypeError) as failure:  # no kernel for this case, or another signature
                line["error"] = f"{type(failure).__name__}: {failure}"[:200]
            else:
                wrong += line["error_to_fp64"] > 1e-2
                rounded = (round(f(times), 4) for f in (statistics.median, min, max))
                line |= dict(zip(("median_ms", "min_ms", "max_ms"), rounded, strict=True))
            append(arguments.results, [line])
            print(f"{length:5} {document:5} {name:20} {line.get('median_ms', line.get('error'))}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
