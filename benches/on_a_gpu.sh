#!/usr/bin/env bash
# Everything that a machine with a GPU is needed for, in ten minutes: tests of kernels, every variant of
# products, tokens and prompts of an 8B shape beside llama.cpp's Vulkan backend. Writes the record
# benches/record/<device>/<date>-on-a-gpu.md after each step, and stops by itself. What there was no time, no
# memory or no package for is named in the record.
#   benches/on_a_gpu.sh              build first (`cargo build --release && cargo test --release --no-run`,
#                                    `tests/real/setup.py`), or the build takes the time
#   benches/on_a_gpu.sh --smoke      the same steps with tiny shapes, on any adapter; the record goes to
#                                    target/on_a_gpu
#   benches/on_a_gpu.sh --help       more options, and the variables for files that are elsewhere
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${QMILL_REAL_CACHE:-$here/../target/real}/venv/bin/python
if [ ! -x "$python" ]; then python=python3; fi
exec "$python" "$here/on_a_gpu.py" "$@"
