#!/bin/sh
# Builds the shim for aarch64 and runs a host under it by qemu; the native tvg reads the trace. Foreign packages are unpacked below BUILD/aarch64: the
# system's own package lists and architectures stay as they are. Needs the packages that `make cross-aarch64` asks for.
set -eu
BUILD=${BUILD:-build}
out=$BUILD/aarch64
mkdir -p "$out/apt/lists/partial" "$out/apt/cache/archives/partial" "$out/packages" "$out/root"
out=$(cd "$out" && pwd)
cat > "$out/apt/apt.conf" <<END
APT::Architectures { "amd64"; "arm64"; };
Dir::State::Lists "$out/apt/lists";
Dir::Cache "$out/apt/cache";
END
if [ ! -e "$out/root/ok" ]; then
  APT_CONFIG=$out/apt/apt.conf apt-get update -qq
  (cd "$out/packages" && APT_CONFIG=$out/apt/apt.conf apt-get download -qq liblz4-dev:arm64 libmsgpack-dev:arm64 libxxhash-dev:arm64)
  for package in "$out"/packages/*.deb; do dpkg -x "$package" "$out/root"; done
  touch "$out/root/ok"
fi
libraries=$out/root/usr/lib/aarch64-linux-gnu
make -s BUILD="$BUILD/aarch64" CC=aarch64-linux-gnu-gcc HOSTCC=cc CAPSTONE= HEADERS='lz4.h:liblz4-dev:arm64 xxhash.h:libxxhash-dev:arm64 msgpack.h:libmsgpack-dev:arm64' \
  CPPFLAGS="-isystem '$out/root/usr/include' -isystem '$out/root/usr/include/aarch64-linux-gnu'" LDFLAGS="-L'$libraries'" "$BUILD/aarch64/libtvgshim.so"
cc=aarch64-linux-gnu-gcc
$cc -O1 -fPIC -shared -o "$out/libcrossblas.so" tests/cross/blas.c
$cc -O1 -rdynamic -o "$out/host" tests/cross/host.c -L"$out" -lcrossblas -ldl -Wl,-rpath,"$out"
rm -f "$out"/*.tvg
run() { qemu-aarch64 -L /usr/aarch64-linux-gnu "$@"; }
plain=$(run "$out/host")
recorded=$(run -E LD_PRELOAD="$out/libtvgshim.so" -E TVG_OUT="$out/host.tvg" "$out/host")
[ "$plain" = "$recorded" ] || { printf 'tvg: with the shim the host said\n%s\nand without it\n%s\n' "$recorded" "$plain" >&2; exit 1; }
"$BUILD/tvg" check "$out/host.tvg"
"$BUILD/tvg" ops --json "$out/host.tvg" > "$out/ops.json"
python3 tests/cross/expect.py "$out/ops.json"
