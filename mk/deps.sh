#!/bin/sh
# Installs what the build and the demo (`deps.sh build`), or those and the tests (`deps.sh`), need from Debian 12's packages,
# and says which. Does nothing when nothing is missing. SGAPS_DEPS=list prints the names only.
set -eu
build="gcc make pkg-config libc6-dev
    libhdf5-dev libdnnl-dev libfyaml-dev libqhull-dev libpng-dev libcjson-dev libssl-dev zlib1g-dev
    libwebsockets-dev libev-dev libsixel-dev gnuplot-nox"
tests="perl bats clang libomp-dev clang-format jq curl parallel git
    mandoc bash-completion zsh fish debhelper fakeroot
    ffmpeg hdf5-tools netcdf-bin chromium
    python3 python3-numpy python3-h5py python3-scipy python3-skimage python3-torch python3-omegaconf
    python3-websockets python3-aiohttp
    mono-mcs mono-runtime libmono-system-core4.0-cil"
# shellcheck disable=SC2086 # words, on one line
if [ "${1:-}" = build ]; then all=$(echo $build); else all=$(echo $build $tests); fi
if [ "${SGAPS_DEPS:-}" = list ]; then
    echo "$all"
    exit 0
fi
if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "make deps: this is not a Debian system: install the equivalents of: $all" >&2
    exit 0
fi
missing=
for p in $all; do
    dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "make deps: installing:$missing"
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null 2>&1 || {
        echo "make deps: not root and no sudo: ask for these packages:$missing" >&2
        exit 1
    }
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null 2>&1 || {
    $sudo apt-get -qq update
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
}
