#!/usr/bin/env bash
# Compiles every shader for other platforms, on a machine without a GPU. README.md has details.
#   tests/portability/run.sh             what CI runs, about ten minutes on two cores
#   tests/portability/run.sh --record    also writes the kernels' costs on two AMD chips to benches/record/isa
#   tests/portability/run.sh --compare   also prints how these costs differ from the latest record
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tests/portability
cache=$(realpath -m "${QMILL_PORTABILITY_CACHE:-target/portability}")
shaders=$cache/shaders
record=()
case "${1:-}" in
'') ;;
--record) record=(--record benches/record/isa) ;;
--compare) record=(--compare "$(ls benches/record/isa/????-??-??.md | tail -n 1)") ;;
*)
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
WEBGPU=webgpu@0.6.2
not_run=() failed=()

# part NAME SETUP CHECK: runs CHECK unless SETUP, which installs what it needs, fails.
part() {
  local name=$1 start=$SECONDS log=$cache/setup.log
  printf '\n== %s\n' "$name"
  # In subshells, because `set -e` is ignored within a condition.
  set +e
  (set -e; "$2") >"$log" 2>&1
  if [ $? -ne 0 ]; then
    tail -n 3 "$log"
    not_run+=("$name")
  else
    (set -e; "$3")
    if [ $? -ne 0 ]; then failed+=("$name"); fi
  fi
  set -e
  printf -- '-- %s: %s s\n' "$name" "$((SECONDS - start))"
}

# unpack FOLDER PACKAGE...: unpacks Debian packages into a folder of the cache. Nothing is installed.
unpack() {
  local folder=$cache/$1 debs
  shift
  if [ $# -eq 0 ] || [ -e "$folder/complete" ]; then return; fi
  debs=$(mktemp -d)
  local download=(apt-get download -qq -o APT::Sandbox::User=root "$@")
  (cd "$debs" && { "${download[@]}" || { apt-get update -qq && "${download[@]}"; }; })
  mkdir -p "$folder"
  # The 32-bit half of Wine would only make it start slower.
  local excluded=(--exclude='*/i386-windows' --exclude='./usr/share/doc')
  for deb in "$debs"/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$folder" "${excluded[@]}"; done
  rm -r "$debs"
  touch "$folder/complete"
}

# lacking PACKAGE...: prints the packages and dependencies that this machine lacks.
lacking() {
  apt-get -s install --no-install-recommends --no-remove --no-upgrade "$@" | awk '/^Inst/ { print $2 }'
}

npm_webgpu() {
  if [ ! -e "$cache/npm/complete" ]; then
    npm install --silent --no-save --ignore-scripts --prefix "$cache/npm" "$WEBGPU"
    touch "$cache/npm/complete"
  fi
}

# --- Tint: Chrome's front end.

tint_setup() { command -v tint || npm_webgpu; }

tint_files() {
  if ! command -v tint >/dev/null; then
    node "$here/tint.mjs" "$cache/npm/node_modules/webgpu" "$@"
    return
  fi
  local file status=0
  for file in "$@"; do tint --format wgsl "$file" >/dev/null || status=1; done
  return $status
}

tint_check() {
  echo 'fn f() -> u32 { return 1.5; }' >"$cache/fault.wgsl"
  if tint_files "$cache/fault.wgsl" >/dev/null 2>&1; then
    echo 'Tint does not see a fault'
    return 1
  fi
  tint_files "$shaders"/*.wgsl
  echo "$(ls "$shaders"/*.wgsl | wc -l) shaders are valid"
}

# --- FXC and DXC: Microsoft's compilers, under Wine.

hlsl_setup() {
  npm_webgpu
  unpack mingw binutils-mingw-w64-x86-64 gcc-mingw-w64-base mingw-w64-common mingw-w64-x86-64-dev \
    gcc-mingw-w64-x86-64-win32-runtime gcc-mingw-w64-x86-64-win32
  unpack wine wine64 libwine libz-mingw-w64 libunwind8
  local wine=$cache/wine/usr
  # Debian's wineserver is a script that expects files in /usr.
  cp "$wine/lib/wine/wineserver64" "$wine/lib/wine/wineserver"
  cp "$wine/x86_64-w64-mingw32/lib/zlib1.dll" "$wine/lib/x86_64-linux-gnu/wine/x86_64-windows/"
  cp "$wine/x86_64-w64-mingw32/lib/zlib1.dll" "$cache/"
  "$cache/mingw/usr/bin/x86_64-w64-mingw32-gcc-win32" -O1 -o "$cache/hlslc.exe" "$here/hlslc.c"
  # The first start creates the prefix.
  hlslc || [ $? -eq 2 ]
}

hlslc() {
  LD_LIBRARY_PATH=$cache/wine/usr/lib/x86_64-linux-gnu WINEPREFIX=$cache/prefix WINEDEBUG=-all \
    WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe=' \
    timeout 300 "$cache/wine/usr/lib/wine/wine64" "$cache/hlslc.exe" "$@"
}

# hlsl_files COMPILER TARGET FILE...: compiles files on two cores; prints those that fail, and fails.
hlsl_files() {
  local compiler=$1 target=$2 dlls
  shift 2
  dlls=Z:$(tr / '\\' <<<"$cache/npm/node_modules/webgpu/dist/win32-x64")
  export -f hlslc
  export cache
  printf '%s\n' "$@" |
    xargs -P 2 -n $((($# + 1) / 2)) bash -c 'hlslc "$@" || true' _ "$compiler" "$dlls" main "$target" \
      >"$cache/$compiler.log" 2>"$cache/wine.log"
  grep -v '^ok ' "$cache/$compiler.log" || true
  if [ "$(grep -c '^ok ' "$cache/$compiler.log")" -ne $# ]; then
    # Only printed now: Wine complains about missing fonts every time.
    cat "$cache/wine.log"
    return 1
  fi
}

hlsl_check() {
  cd "$shaders"
  echo '[numthreads(1, 1, 1)] void main() { undeclared = 1; }' >"$cache/fault.hlsl"
  local compiler_and_target compiler target
  for compiler_and_target in 'fxc cs_5_1' 'dxc cs_6_0' 'dxc cs_6_6'; do
    read -r compiler target <<<"$compiler_and_target"
    if hlsl_files "$compiler" "$target" "$cache/fault.hlsl" >/dev/null 2>&1; then
      echo "$compiler does not see a fault"
      return 1
    fi
    # DXC compiles what FXC does, so it only gets subgroup operations and the text of 6.6.
    local files=(*."${target#cs_}.hlsl")
    if [ "$target" = cs_6_0 ]; then files=(*subgroup*."${target#cs_}.hlsl"); fi
    hlsl_files "$compiler" "$target" "${files[@]}"
    echo "${#files[@]} shaders compile with $compiler to $target"
  done
}

# --- Metal: types and names, by g++ and a substitute for Metal's library.

metal_setup() { command -v g++; }

metal_files() {
  local file i=0
  # One namespace per file in one translation unit, so that the library is read once.
  for file in "$@"; do
    i=$((i + 1))
    printf 'namespace s%s {\n#include "%s"\n}\n' "$i" "$file"
  done | g++ -std=gnu++17 -fsingle-precision-constant -fsyntax-only -Wno-attributes \
    -I "$here/metal" -include metal_stdlib -x c++ -
}

metal_check() {
  # A name that is declared twice, as naga does for two packed dot products of one value.
  echo '#include <metal_stdlib>
    kernel void f(device uint& x) { uint y = 1u; uint y = 2u; x = y; }' >"$cache/fault.metal"
  if metal_files "$cache/fault.metal" 2>/dev/null; then
    echo 'g++ does not see a fault'
    return 1
  fi
  metal_files "$shaders"/*.metal "$shaders"/cooperative/*.metal
  echo "$(ls "$shaders"/*.metal "$shaders"/cooperative/*.metal | wc -l) shaders have the right types"
}

# --- RADV: AMD's machine code, without an AMD chip.

vulkan=$cache/vulkan/usr

radv_setup() {
  # shellcheck disable=SC2046
  unpack vulkan $(lacking mesa-vulkan-drivers libvulkan-dev)
  local icd=$vulkan/share/vulkan/icd.d/radeon_icd.x86_64.json
  if [ ! -e "$icd" ]; then icd=/usr/share/vulkan/icd.d/radeon_icd.x86_64.json; fi
  local libraries_of_icd=${icd%/share/vulkan/*}/lib
  local key='"library_path": "'
  sed "s#$key/usr/lib#$key$libraries_of_icd#" "$icd" >"$cache/radeon_icd.json"
  local libraries=$vulkan/lib/x86_64-linux-gnu
  cc -O1 -I "$vulkan/include" -L "$libraries" -o "$cache/isa_cost" "$here/isa_cost.c" -l:libvulkan.so.1
}

# Plants faults that let RADV fuse, each of which must be found: products that are not opaque, no opaque step
# at all, and one that cancels itself.
plant_faults() {
  local planted=$shaders/planted text=$shaders/quantize_search.q4_k.f32.wgsl name
  local -A faults=(
    [products]='s/return opaque(4?)\(a \* b\);/return a * b;/'
    [nothing_opaque]='s/^(fn opaque4?\(v: .*\) -> .*) \{ .*/\1 { return v; }/'
    [two_exclusive_ors]='s/(bitcast<[a-z0-9<>]+>\(v\)) \+ (.*params\.zero\)?)\);/(\1 ^ \2) ^ \2);/'
  )
  mkdir "$planted"
  for name in "${!faults[@]}"; do
    sed -E "${faults[$name]}" "$text" >"$planted/$name.text"
    if cmp -s "$text" "$planted/$name.text"; then
      echo "the fault $name cannot be planted: the text has changed"
      return 1
    fi
    mv "$planted/$name.text" "$planted/$name.wgsl"
  done
  "$translate" "$planted" "$planted"/*.wgsl
}

radv_check() {
  plant_faults
  local driver mesa
  driver=$(sed -n 's/.*"library_path": "\(.*\)".*/\1/p' "$cache/radeon_icd.json")
  mesa=$(strings -a "$driver" | sed -n 's/^\(Mesa [0-9][0-9.]*\).*/\1/p')
  VK_DRIVER_FILES=$cache/radeon_icd.json LD_LIBRARY_PATH=$vulkan/lib/x86_64-linux-gnu \
    python3 "$here/isa.py" "$cache/isa_cost" "$shaders" --mesa "$mesa" "${record[@]}"
}

# --- SwiftShader: another driver on the CPU, which flushes subnormals and has subgroups of 4.

swiftshader_setup() {
  # shellcheck disable=SC2046
  unpack vulkan $(lacking mesa-vulkan-drivers libvulkan-dev)
  unpack swiftshader chromium-common
}

swiftshader_check() {
  # Not part of the time that the tests may take.
  cargo test --locked --quiet --test it --no-run
  VK_DRIVER_FILES=$cache/swiftshader/usr/lib/chromium/vk_swiftshader_icd.json \
    LD_LIBRARY_PATH=$vulkan/lib/x86_64-linux-gnu \
    NODEVICE_SELECT=1 QMILL_REQUIRE_GPU=1 WGPU_ADAPTER_NAME=SwiftShader QMILL_PARITY_SCALE=0.05 \
    timeout 600 cargo test --locked --quiet --test it -- gpu::parity:: gpu::round_trip::
}

mkdir -p "$cache"
rm -rf "$shaders"
translate=${CARGO_TARGET_DIR:-target}/debug/examples/translate
cargo build --locked --quiet --example translate
if ! "$translate" "$shaders"; then failed+=('translation'); fi

part 'Tint' tint_setup tint_check
part 'FXC and DXC' hlsl_setup hlsl_check
part 'Metal types' metal_setup metal_check
part 'RADV' radv_setup radv_check
part 'SwiftShader' swiftshader_setup swiftshader_check

printf '\n'
for name in "${not_run[@]}"; do echo "NOT RUN: $name"; done
for name in "${failed[@]}"; do echo "FAILED: $name"; done
if [ ${#failed[@]} -gt 0 ]; then exit 1; fi
echo "all that ran passed, in $SECONDS s"
