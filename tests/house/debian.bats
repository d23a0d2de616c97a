#!/usr/bin/env bats
# debian/: what can be held without a build, and with SGAPS_DEB=1 the packages themselves (some minutes).

bats_require_minimum_version 1.5.0

@test "the package's version is the project's" {
    [ "$(dpkg-parsechangelog -l "$SGAPS_ROOT/debian/changelog" -S Version)" = \
        "$(sed -n 's/^VERSION := //p' "$SGAPS_ROOT/Makefile")" ]
}

@test "what the build needs is what make deps installs, and the library's users get it too" {
    # gcc, make and libc6-dev are there for every Debian build; gnuplot runs, it is not built with.
    needed=$(SGAPS_DEPS=list sh "$SGAPS_ROOT/mk/deps.sh" build | tr ' ' '\n' | grep -vxE 'gcc|make|libc6-dev|gnuplot-nox' | sort)
    field() { sed -n "/^$1:/,/^[A-Z]/p" "$SGAPS_ROOT/debian/control" | sed '1s/^[^:]*://; $d' | tr -d ' ' | tr ',' '\n' | grep -E '^(lib.*-dev|zlib.*-dev|pkg-config)$' | sort; }
    [ "$(field Build-Depends)" = "$needed" ] || { diff <(field Build-Depends) <(echo "$needed"); false; }
    library=$(sed -n '/^Package: libsgaps-dev/,$p' "$SGAPS_ROOT/debian/control" | tr -d '\n')
    for package in $(echo "$needed" | grep -v pkg-config); do
        [[ $library == *"$package"* ]] || { echo "libsgaps-dev does not depend on $package"; false; }
    done
}

@test "the CUDA package: only by its profile, and nothing of NVIDIA's in it" {
    stanza=$(sed -n '/^Package: sgaps-cuda/,/^$/p' "$SGAPS_ROOT/debian/control")
    grep -qx 'Build-Profiles: <pkg.sgaps.cuda>' <<<"$stanza"
    # The library and the tools that load it are built together.
    grep -q '^Depends: sgaps (= ${binary:Version}), ' <<<"$stanza"
    [ "$(cat "$SGAPS_ROOT/debian/sgaps-cuda.install")" = usr/lib/sgaps/libsgaps-cuda.so ]
    cd "$SGAPS_ROOT"
    with=$(make -n -f debian/rules DEB_BUILD_PROFILES=pkg.sgaps.cuda override_dh_auto_build override_dh_gencontrol)
    without=$(make -n -f debian/rules DEB_BUILD_PROFILES= override_dh_auto_build override_dh_gencontrol)
    [[ $without == *" NVCC= "* && $without != *cublas* ]]
    [[ $with != *" NVCC= "* ]]
    ! command -v nvcc || [[ $with == *"Recommends=libcublas-"[0-9]*-[0-9]* ]]
}

@test "dpkg-buildpackage -b, and the package works from where it is unpacked" {
    [ -n "${SGAPS_DEB-}" ] || skip "SGAPS_DEB=1 builds the packages"
    cd "$BATS_TEST_TMPDIR"
    mkdir sgaps root
    (cd "$SGAPS_ROOT" && git ls-files -z | tar c --null -T -) | tar x -C sgaps
    unset MAKEFLAGS MAKELEVEL CFLAGS CI
    (cd sgaps && dpkg-buildpackage -b -us -uc -j2) >log 2>&1 || { tail -40 log; false; }
    for package in sgaps_*.deb libsgaps-dev_*.deb; do dpkg -x "$package" root; done
    for tool in "$SGAPS_ROOT"/cmd/*/; do
        "root/usr/bin/sgaps-$(basename "$tool")" --version
    done
    root/usr/bin/sgaps-eval -q --method linear -n 60 root/usr/share/doc/sgaps/examples/data/doom.h5 --json | jq -e '.rows[0].psnr.mean > 10'
    grep -q '^ExecStart=/usr/bin/sgaps-serve ' root/lib/systemd/system/sgaps-serve.service
    [ ! -e root/usr/lib/sgaps ]
    [ -s root/usr/lib/*/pkgconfig/sgaps.pc ] && [ -s root/usr/share/man/man7/sgaps.7.gz ]
}

@test "dpkg-buildpackage -Ppkg.sgaps.cuda makes sgaps-cuda" {
    [ -n "${SGAPS_DEB-}" ] || skip "SGAPS_DEB=1 builds the packages"
    command -v nvcc || skip "no nvcc"
    cd "$BATS_TEST_TMPDIR"
    mkdir sgaps root
    (cd "$SGAPS_ROOT" && git ls-files -z | tar c --null -T -) | tar x -C sgaps
    unset MAKEFLAGS MAKELEVEL CFLAGS CI
    (cd sgaps && dpkg-buildpackage -b -us -uc -j2 -Ppkg.sgaps.cuda) >log 2>&1 || { tail -40 log; false; }
    dpkg -x sgaps-cuda_*.deb root
    [ "$(find root -name '*.so*')" = root/usr/lib/sgaps/libsgaps-cuda.so ]
    dpkg -f sgaps-cuda_*.deb Depends Recommends
    [[ $(dpkg -f sgaps-cuda_*.deb Depends) == 'sgaps (= '*libc6* ]]
    [[ $(dpkg -f sgaps-cuda_*.deb Depends) != *cu[bd]* && $(dpkg -f sgaps-cuda_*.deb Recommends) == libcublas-* ]]
    ! dpkg -c sgaps_*.deb | grep libsgaps-cuda
}
