"""What the Triton kernels become on an H100, by cross-compilation, and what is refused without a GPU."""

import os
import subprocess
import sys
import warnings

import pytest
import torch
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from pipelines.code_digest import ROOT
from rxt_model.kernels.experts import kernels_run, routed_experts
from rxt_model.moe import experts
from rxt_model.moe.router import router_logits
from tests.support.processes import SECONDS


def run(*arguments: str) -> subprocess.CompletedProcess:
    """Run Python without Triton's interpreter, which another test may have asked for, and without any GPU."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)


def test_kernels_cross_compile_without_a_spill(tmp_path):
    pytest.importorskip("triton")
    script, only = "tests.benchmarks.kernels.kernel_report", ("up", "d_hidden", "d_w_in_main")
    done = run("-m", script, "--only", *only, "--results", str(tmp_path / "report"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "report").read_text().splitlines()) == 3


def test_the_report_knows_the_constants_of_every_kernel():
    pytest.importorskip("triton")
    code = """
from tests.benchmarks.kernels.kernel_report import kernels
for name, (kernel, constants, *_) in kernels().items():
    print(name, sum(parameter.is_constexpr for parameter in kernel.params) - len(constants))
"""
    done = run("-c", code)
    found = dict(line.split() for line in done.stdout.splitlines())
    assert len(found) > 20 and set(found.values()) == {"0"}, done.stdout + done.stderr


def test_the_report_fails_on_a_kernel_that_spills(tmp_path):
    pytest.importorskip("triton")
    code = """
import sys
sys.argv = ["kernel_report.py", "--only", "up", "--results", sys.argv[1]]
from tests.benchmarks.kernels import kernel_report
from rxt_model.kernels.tiles import Tile
kernel_report.BETA = kernel_report.BETA._replace(up=Tile(128, 128, 64, 4, 2))
sys.exit(kernel_report.main())
"""
    done = run("-c", code, str(tmp_path / "report"))
    assert done.returncode == 1 and "spills" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what happens without a GPU")
def test_the_gpu_benchmark_refuses_in_one_line_without_a_gpu():
    done = run("-m", "tests.benchmarks.model.moe_gpu")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "GPU" in done.stderr


def test_the_kernels_refuse_what_they_cannot_run():
    x, chosen = torch.randn(7, 6), torch.zeros(7, 2, dtype=torch.long)
    assert not kernels_run(x) and not kernels_run(x.bfloat16())
    with pytest.raises(ValueError, match="cannot run: x is on cpu: must be on a GPU"):
        routed_experts(x, torch.rand(7, 2), chosen, torch.randn(4, 6, 10), torch.randn(4, 5, 6))


@pytest.mark.skipif(torch.cuda.is_available(), reason="makes believe that there is a GPU")
def test_experts_without_kernels_on_a_gpu_say_why_once():
    """Fake tensors pretend to be on a GPU. They hold no values, so the code after the warning fails."""
    experts._warn.cache_clear()
    with warnings.catch_warnings(record=True) as told, FakeTensorMode():
        warnings.simplefilter("always")
        for dtype, biased in [(torch.float32, False), (torch.bfloat16, True)] * 2:
            x, w_in, w_out, b_out = (
                torch.empty(size, device="cuda", dtype=dtype) for size in ((7, 6), (4, 6, 10), (4, 5, 6), (4, 6))
            )
            weights, chosen = torch.empty(7, 2, device="cuda"), torch.empty(7, 2, device="cuda", dtype=torch.long)
            with pytest.raises(DynamicOutputShapeException):
                experts.routed_experts(x, weights, chosen, w_in, w_out, b_out=b_out if biased else None)
    assert [str(warning.message).partition(": ")[2] for warning in told] == [
        "x is of torch.float32: must be of torch.bfloat16 or torch.float16, as under autocast",
        "experts have biases: must have none (moe.bias = 'layer')",
    ]
    assert all(warning.filename == __file__ for warning in told)


def test_router_logits_are_fp32_and_their_gradients_those_of_a_linear_layer():
    torch.manual_seed(0)
    x, w, d = torch.randn(5, 6).bfloat16(), torch.randn(4, 6), torch.randn(5, 4)
    ours, theirs = [[t.clone().requires_grad_() for t in (x, w)] for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        made = router_logits(*ours)
    expected = theirs[0].double() @ theirs[1].double().T
    made.backward(d)
    expected.backward(d.double())
    assert made.dtype == torch.float32 and torch.allclose(made.double(), expected, atol=1e-5)
    assert torch.equal(ours[0].grad, theirs[0].grad) and torch.allclose(ours[1].grad, theirs[1].grad, atol=1e-5)
