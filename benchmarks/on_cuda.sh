#!/usr/bin/env bash
# Everything that ModelTest has to show on a CUDA machine, by one command: bash benchmarks/on_cuda.sh --help
# Nothing is installed and nothing is fetched; PYTHON names the Python that has torch (python3).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    echo "on_cuda.sh: there is no $python; set PYTHON to a Python that has torch and transformers" >&2
    exit 1
fi

# ModelTest finds its engines and tasks through the metadata of an installed package. A bare machine may lack
# what builds one, so the metadata are written beside the checkout's code, into a folder of their own.
registered=$(mktemp -d)
trap 'rm -rf "$registered"' EXIT
"$python" "$root/benchmarks/on_device/checkout.py" "$registered"
export PYTHONPATH="$root:$root/benchmarks:$registered${PYTHONPATH:+:$PYTHONPATH}"
"$python" "$root/benchmarks/on_cuda.py" "$@"
