#!/usr/bin/env bats
# make install, uninstall, doc and dist, and the library as another program sees it.

bats_require_minimum_version 1.5.0

setup_file() {
    [ -z "$SAN" ] || return 0
    export PREFIX=$BATS_FILE_TMPDIR/prefix
    export LC_ALL=C
    # What make was told (CC=clang) holds here too; its job server does not.
    case ${MAKEFLAGS-} in
    *' -- '*) MAKEFLAGS=" -- ${MAKEFLAGS#* -- }" ;;
    *) unset MAKEFLAGS ;;
    esac
    unset MAKELEVEL
    cd "$SGAPS_ROOT"
    make -s BIN="$SGAPS_BIN" BUILD="$(built)" install PREFIX="$PREFIX" DESTDIR=
}

# The folder of objects that the tests run with, so that nothing is compiled anew.
built() {
    dirname "$(dirname "$SGAPS_TESTS")"
}

setup() {
    [ -z "$SAN" ] || skip "the library of a sanitised build needs the sanitiser"
    cd "$BATS_TEST_TMPDIR"
}

@test "the installed tools run, and are all of them" {
    for tool in "$SGAPS_ROOT"/cmd/*/; do
        "$PREFIX/bin/sgaps-$(basename "$tool")" --version
    done
    [ "$(ls "$PREFIX/bin" | wc -l)" -eq "$(ls "$SGAPS_ROOT/cmd" | wc -l)" ]
}

@test "the installed pages are found by name" {
    for page in "$SGAPS_ROOT"/man/*; do
        name=${page##*/}
        mman -M "$PREFIX/share/man" -w "${name##*.}" "${name%.*}"
    done
}

@test "a program compiles against the installed library and agrees with sgaps-eval" {
    export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig
    [ "$(pkg-config --modversion sgaps)" = "$(sed -n 's/^VERSION := //p' "$SGAPS_ROOT/Makefile")" ]
    cc -std=c11 -O2 -Wall -Wextra -Werror "$PREFIX/share/doc/sgaps/examples/library/linear.c" \
        $(pkg-config --cflags --libs sgaps) -o linear
    "$PREFIX/bin/sgaps-import" -q --size 48x48 --stride 16 --select map20-a -o rec.h5 "$SGAPS_ROOT/examples/data/doom.h5"
    mine=$(./linear rec.h5 60 | cut -f3)
    eval=$("$PREFIX/bin/sgaps-eval" --json --method linear -n 60 rec.h5 | jq '.rows[0].psnr.mean')
    awk -v a="$mine" -v b="$eval" 'BEGIN { exit !(a > 5 && a - b < 1e-3 && b - a < 1e-3) }'
}

@test "every installed header compiles by itself, in C and from below sgaps/" {
    cd "$PREFIX/include/sgaps"
    find . -name '*.h' | sed 's|^\./\(.*\)|#include "\1"|' >"$BATS_TEST_TMPDIR/all"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/all")" -gt 30 ]
    while read -r line; do
        echo "$line" | cc -std=c11 -Wall -Wextra -Werror -I. -fsyntax-only -x c -
    done <"$BATS_TEST_TMPDIR/all"
    ! grep -rl 'rivate to' .
}

@test "completions and examples are there" {
    for tool in "$SGAPS_ROOT"/cmd/*/; do
        name=sgaps-$(basename "$tool")
        bash -n "$PREFIX/share/bash-completion/completions/$name"
        [ -s "$PREFIX/share/fish/vendor_completions.d/$name.fish" ]
        grep -q "^#compdef.* $name" "$PREFIX/share/zsh/site-functions/_sgaps"
    done
    [ -s "$PREFIX/share/doc/sgaps/examples/data/doom.h5" ]
    # The network in PyTorch lies beside its loader there.
    (cd "$PREFIX/share/doc/sgaps/examples/torch" && /usr/bin/python3 -B -c 'import sgaps_torch; sgaps_torch.load' )
}

@test "the cuda backend lies where the tools look for it" {
    [ -e "$SGAPS_BIN/libsgaps-cuda.so" ] || skip "built without nvcc"
    cmp "$SGAPS_BIN/libsgaps-cuda.so" "$PREFIX/lib/sgaps/libsgaps-cuda.so"
    # An installed tool opens it: a copy that is none is what it complains of (a driver of no use stands in for NVIDIA's).
    mkdir -p away/bin away/lib/sgaps drivers
    cp "$PREFIX/bin/sgaps-bench" away/bin
    echo rubbish >away/lib/sgaps/libsgaps-cuda.so
    cc -shared -o drivers/libcuda.so.1 -x c /dev/null
    LD_LIBRARY_PATH=$PWD/drivers run --separate-stderr away/bin/sgaps-bench ops --device cuda
    [ "$status" -eq 69 ]
    [[ $stderr == *"../lib/sgaps/libsgaps-cuda.so: "* ]] || { echo "$stderr"; false; }
    # Its cuBLASLt is looked for where NVIDIA's toolkit lies, and nothing else is new.
    readelf -d "$PREFIX/lib/sgaps/libsgaps-cuda.so" | grep -q 'RUNPATH.*\[/usr/local/cuda/lib64\]'
}

@test "with DESTDIR everything lies below it, and uninstall leaves nothing" {
    cd "$SGAPS_ROOT"
    make -s BIN="$SGAPS_BIN" BUILD="$(built)" install PREFIX=/usr DESTDIR="$BATS_TEST_TMPDIR/dest"
    [ "$(ls "$BATS_TEST_TMPDIR/dest")" = usr ]
    grep -q '^prefix=/usr$' "$BATS_TEST_TMPDIR/dest/usr/lib/pkgconfig/sgaps.pc"
    # What others have put there stays.
    touch "$BATS_TEST_TMPDIR/dest/usr/bin/other" "$BATS_TEST_TMPDIR/dest/usr/share/man/man1/other.1"
    make -s uninstall PREFIX=/usr DESTDIR="$BATS_TEST_TMPDIR/dest"
    left=$(find "$BATS_TEST_TMPDIR/dest" ! -type d | sort)
    [ "$left" = "$(printf '%s\n' "$BATS_TEST_TMPDIR"/dest/usr/{bin/other,share/man/man1/other.1})" ] || { echo "$left"; false; }
    [ -z "$(find "$BATS_TEST_TMPDIR/dest" -type d -name '*sgaps*')" ]
    make -s uninstall PREFIX=/usr DESTDIR="$BATS_TEST_TMPDIR/dest" # nothing to do is no fault
}

@test "make doc: every page, and no link leads nowhere" {
    cd "$SGAPS_ROOT"
    make -s doc BUILD="$BATS_TEST_TMPDIR"
    cd "$BATS_TEST_TMPDIR/doc"
    [ "$(ls ./*.html | wc -l)" -eq "$(($(ls "$SGAPS_ROOT"/man | wc -l) + 1))" ]
    for page in "$SGAPS_ROOT"/man/*; do
        grep -q "href=\"${page##*/}.html\"" index.html
    done
    grep -oh 'href="[^#"][^"]*"' ./*.html | sort -u | sed 's/href="\(.*\)"/\1/' | while read -r link; do
        [ -e "${link%%#*}" ] || { echo "$link is nowhere"; exit 1; }
    done
    grep -q 'href="sgaps-recording.5.html"' sgaps.7.html
}

@test "make dist packs the same bytes twice, and all that is tracked" {
    cd "$SGAPS_ROOT"
    git rev-parse HEAD >/dev/null 2>&1 || skip "this is no git checkout"
    make -s dist DIST="$BATS_TEST_TMPDIR/one.tar.gz"
    sleep 1.1
    make -s dist DIST="$BATS_TEST_TMPDIR/two.tar.gz"
    cmp "$BATS_TEST_TMPDIR"/one.tar.gz "$BATS_TEST_TMPDIR"/two.tar.gz
    cd "$BATS_TEST_TMPDIR"
    tar xzf one.tar.gz
    [ "$(find sgaps-*/ ! -type d | wc -l)" -eq "$(git -C "$SGAPS_ROOT" ls-tree -r HEAD | wc -l)" ]
    make -s -C sgaps-*/ help | grep -q 'make install'
}
