#!/usr/bin/env bash
# All tests, those of the GPU too: where there is no adapter, Debian's software adapter (lavapipe) is installed, if this is Debian and root asks.
#   tests/run.sh [ARGUMENTS OF cargo test]
# Without it `cargo test` skips the tests of the GPU where there is none, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --bin qmill
adapters() { "${CARGO_TARGET_DIR:-target}/debug/qmill" devices --json | grep -c '"index"'; }
if ! adapters >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo 'installing mesa-vulkan-drivers'
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -qq -y --no-install-recommends mesa-vulkan-drivers libvulkan1 >/dev/null
    fi
    if ! adapters >/dev/null; then
        echo 'there is no Vulkan adapter: install a driver, such as mesa-vulkan-drivers' >&2
        exit 1
    fi
fi
# Mesa complains where there is no display.
export NODEVICE_SELECT=1 QMILL_REQUIRE_GPU=1
cargo test "$@"
