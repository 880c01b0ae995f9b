#!/bin/sh
# Builds a fuzz target with the stable compiler and runs it: ./run.sh TARGET [SECONDS] [libFuzzer options]
#
# What libFuzzer needs of the compiler is coverage instrumentation, an LLVM pass that `-C` flags reach; only
# sanitizers need a nightly, and without unsafe code there is little for them to find. `--target` keeps the
# instrumentation out of build scripts.
set -eu
cd "$(dirname "$0")"
target=$1
seconds=${2:-60}
shift
[ $# -eq 0 ] || shift
host=$(rustc -vV | sed -n 's/^host: //p')

cargo run --quiet --release --bin seeds -- "corpus/$target"

export RUSTFLAGS="-Cpasses=sancov-module
 -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
 -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares
 -Cdebug-assertions -Coverflow-checks --cfg=fuzzing"
RUSTFLAGS=$(echo "$RUSTFLAGS" | tr -d '\n')
mkdir -p "artifacts/$target"
exec cargo run --quiet --release --target "$host" --bin "$target" -- "corpus/$target" \
    "-max_total_time=$seconds" "-artifact_prefix=artifacts/$target/" -max_len=8192 -rss_limit_mb=1024 \
    -timeout=5 "$@"
