#!/bin/sh
# html.sh OUT PAGE...: the manual as HTML, one file a page with links between them, and an index.
set -eu
out=$1
shift
command -v mandoc >/dev/null || {
    echo "make doc: needs mandoc" >&2
    exit 69
}
mkdir -p "$out"
cp mk/manual.css "$out/manual.css"
for page; do
    name=${page##*/}
    # Pages that are here are linked, those of other projects are not.
    mandoc -Thtml -Ostyle=manual.css,man=%N.%S.html,toc "$page" >"$out/$name.html"
done
for link in $(sed -n 's/.*class="Xr" href="\([^"]*\)".*/\1/p' "$out"/*.html | sort -u); do
    [ -e "$out/$link" ] || sed -i "s|<a class=\"Xr\" href=\"$link\">\([^<]*\)</a>|<span class=\"Xr\">\1</span>|g" "$out"/*.html
done
{
    printf '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>SGAPS manual</title>\n'
    printf '<meta name="viewport" content="width=device-width, initial-scale=1.0">\n'
    printf '<link rel="stylesheet" href="manual.css"></head><body>\n<h1 class="Sh">SGAPS manual</h1>\n<dl class="Bl-tag">\n'
    for page in $(printf '%s\n' "$@" | awk -F. '{print ($NF == 7 ? 0 : $NF), $0}' | sort | cut -d' ' -f2); do
        name=${page##*/}
        what=$(sed -n 's/^\.Nd //p' "$page")
        printf '<dt><a class="Xr" href="%s.html">%s(%s)</a></dt><dd>%s</dd>\n' "$name" "${name%.*}" "${name##*.}" "$what"
    done
    printf '</dl>\n</body></html>\n'
} >"$out/index.html"
echo "$out/index.html"
