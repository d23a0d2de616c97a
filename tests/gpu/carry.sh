#!/bin/sh
# carry.sh FILE.tar.gz: bin/sgaps-bench with every library it needs and the loader that goes with them, for a machine that has a
# GPU and none of those libraries. tests/gpu/run.sh's part tools looks for build/carried.tar.gz.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
to=${1:?"carry.sh FILE.tar.gz"}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/carried/lib"
cd "$tmp/carried"
cp "$root/bin/sgaps-bench" .
strip sgaps-bench
ldd sgaps-bench | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' >"$tmp/needed"
# What NVIDIA's libraries ask for by names that are a part of the C library now.
system=$(dirname "$(grep '/libc\.so' "$tmp/needed")")
for name in libdl.so.2 libpthread.so.0 librt.so.1; do
    echo "$system/$name" >>"$tmp/needed"
done
xargs -I{} cp -L {} lib/ <"$tmp/needed"
loader=$(basename "$(grep '/ld-linux' "$tmp/needed")")
# A tool that computes would start itself again for GOMP_SPINCOUNT, and find the loader in its place.
cat >bench <<END
#!/bin/sh
here=\$(cd "\$(dirname "\$0")" && pwd)
export GOMP_SPINCOUNT=1000
exec "\$here/lib/$loader" --library-path "\$here/lib" "\$here/sgaps-bench" "\$@"
END
chmod +x bench
tar -C "$tmp" -czf "$tmp/carried.tar.gz" carried
cd "$root"
mv "$tmp/carried.tar.gz" "$to"
ls -l "$to"
