#!/usr/bin/env bash
# Runs all tests, including those of the GPU. Without an adapter, installs Debian's software adapter
# (lavapipe) as root on Debian. Plain `cargo test` skips the tests of the GPU without an adapter, and says so.
#   tests/run.sh [ARGUMENTS OF cargo test]
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
# Mesa complains without a display.
export NODEVICE_SELECT=1 QMILL_REQUIRE_GPU=1
cargo test "$@"
