#!/usr/bin/env bash
# Check a GPU in at most eight minutes: kernels, one step of every objective, bf16 training, reinforcement learning.
#
#     tests/gpu/run.sh                  one JSON line for each check; status 1 if one failed
#     tests/gpu/run.sh --device cpu     the same code on a CPU, with a small model and few steps
#
# Needs Python 3.11 or newer with torch 2.11, Triton 3.6, pydantic, pyarrow, tokenizers, safetensors, fsspec, psutil and
# numpy. It needs neither Ray nor MLflow nor an installed package. PYTHON names another interpreter than python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"
for package in torch pydantic pyarrow tokenizers safetensors fsspec psutil numpy; do
    if ! "$python" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$package') is None)"; then
        echo "run.sh: $python has no package $package: install it, or set PYTHON=…" >&2
        exit 2
    fi
done
exec timeout 480 "$python" -m tests.gpu.check "$@"
