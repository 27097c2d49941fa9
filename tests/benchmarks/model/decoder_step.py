"""A training step of the RxT-Beta decoder on one GPU: tokens per second at documents of 1,024 tokens.

    python -m tests.benchmarks.model.decoder_step

A step is `--passes` forward and backward passes of `--tokens` tokens each, every document a row that reads a memory of
as many encoder states, with the loss of the next tokens and the balance loss; then fused AdamW on fp32 masters
(`rxt_model.training.main_weights`). Weights and activations are bf16; compiled layers (`rxt_model.training.compile`),
then eager ones.

First the step as timed, but of two stateful layers and 2,048 tokens, is compared with the same in fp32 and without
compilation; a line is invalid if the loss differs by more than 1 % or the gradients of all weights together point
elsewhere (cosine below 0.99). The target is 200,000 tokens per second on an H100, optimizer included: reported, not
enforced. One JSON line per case is appended to results/decoder_step.jsonl. Needs a GPU of 80 GB, torch 2.11 or newer
and Triton 3.6 or newer, and neither Ray nor an installed package.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rxt_model.family import FAMILY
from rxt_model.kernels.language import triton
from rxt_model.losses import next_tokens
from rxt_model.model import ReactiveTransformer
from rxt_model.moe.layer import balance_loss
from rxt_model.size import active_parameters, decoder_flops, parameters
from rxt_model.training.compile import compile_layers
from rxt_model.training.main_weights import MainWeights
from tests.benchmarks.record import RESULTS, append, environment

TARGET = 200_000
ROUNDS = 5
BETA = FAMILY["beta"].config


class DecoderOnly(nn.Module):
    """Embedding and decoder of a Reactive Transformer with their loss."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        config = replace(BETA, stateful_layers=layers, memory=replace(BETA.memory, groups=1))
        self.model = ReactiveTransformer(config, mlm_head=False)
        del self.model.encoder, self.model.memory_attention

    def forward(self, ids: Tensor, memory: Tensor) -> Tensor:
        output = self.model.decode(ids, memory)
        lm = next_tokens(self.model.decoder.head, output, ids, torch.zeros_like(ids))
        return lm.loss / lm.count + 0.01 * balance_loss(output.routing)


def build(layers: int = BETA.stateful_layers) -> DecoderOnly:
    torch.manual_seed(0)
    with torch.device("cuda"):
        return DecoderOnly(layers)


def batch(tokens: int, document: int, layers: int, seed: int) -> tuple[Tensor, Tensor]:
    """Make ids [B, T] and encoder states [L, B, T, d] as large as values of a residual stream."""
    draw = torch.Generator("cuda").manual_seed(seed)
    ids = torch.randint(20, BETA.vocab_size, (tokens // document, document), device="cuda", generator=draw)
    states = torch.randn(layers, *ids.shape, BETA.dim, device="cuda", generator=draw, dtype=torch.bfloat16)
    return ids, states


def check() -> dict[str, float]:
    """Compare two layers on 2,048 tokens with fp32: relative difference of the loss, and cosine of the gradients."""
    ids, states = batch(2048, 512, 2, 7)
    exact = build(2)
    loss = exact(ids, states.float())
    loss.backward()
    expected = torch.cat([p.grad.flatten() for p in exact.parameters() if p.grad is not None])
    fast = build(2)
    main = MainWeights(fast)
    compile_layers(fast)
    found = fast(ids, states)
    found.backward()
    kept = [m.grad.flatten() for m, p in zip(main.masters, exact.parameters(), strict=True) if p.grad is not None]
    cosine = F.cosine_similarity(torch.cat(kept), expected, dim=0)
    return {"loss_error": abs(found.item() / loss.item() - 1), "gradient_cosine": cosine.item()}


def measure(
    module: DecoderOnly, main: MainWeights, optimizer: torch.optim.Optimizer, tokens: int, document: int, passes: int
) -> dict:
    """Return figures of `ROUNDS` steps, after one step that compiles and allocates."""
    batches = [batch(tokens, document, BETA.stateful_layers, seed) for seed in range(2)]
    times, updates = [], []
    for step in range(ROUNDS + 1):
        if step == 1:
            times, updates = [], []
            torch.cuda.reset_peak_memory_stats()
        times += [timed(lambda i=i: module(*batches[i % 2]).backward()) for i in range(passes)]
        updates.append(timed(lambda: (optimizer.step(), main.publish())))
    one, update = statistics.median(times), statistics.median(updates)
    return {
        "median_ms": round(one, 2),
        "min_ms": round(min(times), 2),
        "max_ms": round(max(times), 2),
        "repeat": len(times),
        "optimizer_ms": round(update, 2),
        "tokens_per_s_without_optimizer": round(1e3 * tokens / one),
        "tokens_per_s": round(1e3 * passes * tokens / (passes * one + update)),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1),
    }


def timed(call: Callable) -> float:
    """Return milliseconds from an idle device to an idle device."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=32768)
    parser.add_argument("--document", type=int, default=1024)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--results", type=Path, default=RESULTS / "decoder_step.jsonl")
    arguments = parser.parse_args()
    if triton is None or not torch.cuda.is_available():
        print("decoder_step.py: needs a GPU that torch can use, and Triton; there is none here", file=sys.stderr)
        return 2
    shape = (arguments.tokens, arguments.document, arguments.passes)
    found = check()
    print("check", found)
    module = build()
    flops = decoder_flops(module.model.decoder, arguments.document, arguments.document).per(arguments.document)
    common = {
        "case": "decoder_step",
        **environment("torch", "triton", device=torch.cuda.get_device_name()),
        "shape": dict(zip(("tokens", "document", "passes"), shape, strict=True)),
        "parameters": parameters(module),
        "active_parameters": active_parameters(module),
        "valid": found["loss_error"] < 1e-2 and found["gradient_cosine"] > 0.99,
        **found,
    }
    main_weights = MainWeights(module)
    optimizer = torch.optim.AdamW(main_weights.masters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for name in ("compiled", "eager"):
        if name == "compiled":
            compile_layers(module)
        try:
            with torch.compiler.set_stance("default" if name == "compiled" else "force_eager"):
                line = measure(module, main_weights, optimizer, *shape)
        except torch.OutOfMemoryError as error:
            line = {"error": str(error)[:200]}
        else:
            line["tflop_per_s"] = round(3e-12 * (flops.matrices + flops.attention) * line["tokens_per_s"])
        line = common | {"impl": name, "target_tokens_per_s": TARGET} | line
        append(arguments.results, [line])
        print(name, {key: line[key] for key in line if key not in common})
    return 0 if common["valid"] else 1


if __name__ == "__main__":
    sys.exit(main())
