#!/usr/bin/env bash
# Compiles the shaders for chips of AMD, NVIDIA and Qualcomm, and runs the tests on an adapter with matrix
# units, with Debian's newest Mesa in a separate root. Needs root and debootstrap; twenty minutes on two
# cores, 2 GB. Not part of CI, because the newest Mesa changes.
#   tests/portability/newest_mesa.sh            everything
#   tests/portability/newest_mesa.sh --record   also writes the kernels' costs to benches/record/isa
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tests/portability
cache=$(realpath -m "${QMILL_PORTABILITY_CACHE:-target/portability}")
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
root=$cache/newest
record=()
case "${1:-}" in
'') ;;
--record) record=(--record "$PWD/benches/record/isa") ;;
*)
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac

if [ ! -e "$root/complete" ]; then
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase sid "$root" >"$cache/debootstrap.log"
  chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
    mesa-vulkan-drivers mesa-drm-shim libvulkan-dev gcc libc6-dev procps >>"$cache/debootstrap.log"
  touch "$root/complete"
fi
cp "$here/isa_cost.c" "$root/isa_cost.c"
chroot "$root" cc -O1 -o /isa_cost /isa_cost.c -lvulkan

cargo build --locked --quiet --example translate
tests=$(cargo test --locked --test it --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\/it-[^"]*\)".*/\1/p')
shaders=$root/shaders
rm -rf "$shaders"
"$target/debug/examples/translate" "$shaders"
export root tests shaders target

# The mounts end with this shell.
unshare --mount bash -euc '
  for folder in /proc /sys /dev; do mount --rbind "$folder" "$root$folder"; done
  for folder in "$PWD" "$target"; do mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; done
  python3 tests/portability/newest_mesa.py "$root" "$@"
  chroot "$root" env HOME=/root NODEVICE_SELECT=1 QMILL_REQUIRE_GPU=1 bash -c "cd \"$PWD\" && \"$tests\""
' _ "${record[@]}"
