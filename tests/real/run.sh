#!/usr/bin/env bash
# Compares qmill with libllama on real models. README.md has details.
#   tests/real/run.sh          what CI runs, about ten minutes on two cores
#   tests/real/run.sh --long   every mix, speed and memory too, recorded in benches/record; hours
set -euo pipefail
cd "$(dirname "$0")/../.."
cache="${QMILL_REAL_CACHE:-target/real}"
python="$cache/venv/bin/python"
failed=0
try() { "$python" "tests/real/$@" || failed=1; }
# try_gpu SCRIPT...: runs it on the best adapter, if there is one.
try_gpu() {
  if NODEVICE_SELECT=1 "$QMILL" devices --json | grep -q '"index"'; then
    NODEVICE_SELECT=1 QMILL_DEVICE=gpu try "$@"
  else
    echo "not run: no GPU for $*"
  fi
}

# Debug builds of the examples, as the tests build them: their features would cause a second release build.
cargo build --release --locked --bin qmill
cargo build --locked --example codec --example logits --example tokens
target="${CARGO_TARGET_DIR:-target}"
export QMILL="$target/release/qmill" QMILL_CODEC="$target/debug/examples/codec"
export QMILL_LOGITS="$target/debug/examples/logits" QMILL_TOKENS="$target/debug/examples/tokens"
python3 tests/real/setup.py

try codecs.py -n 2e4 --plant-fault
case "${1:-}" in
'')
  try codecs.py -n 1e6
  try files.py
  try_gpu files.py --only smollm2-
  try tokens.py
  NODEVICE_SELECT=1 try logits.py smollm2-F32 --prompts 2 --steps 16
  try fit.py --models tiny --device cpu
  try faults.py
  ;;
--long)
  try codecs.py -n 2e7
  try files.py --all --record benches/record/identity.csv
  try_gpu files.py --all --record benches/record/identity-gpu.csv
  try tokens.py -n 30000
  NODEVICE_SELECT=1 try logits.py --record benches/record/logits.md
  NODEVICE_SELECT=1 try perplexity.py --record benches/record/perplexity.md
  try fit.py --record benches/record/fit.md
  NODEVICE_SELECT=1 try resident.py --record benches/record/memory.md
  try faults.py
  try memory.py
  try_gpu memory.py
  try speed.py --record benches/record
  try_gpu speed.py --record benches/record
  ;;
*)
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
exit "$failed"
