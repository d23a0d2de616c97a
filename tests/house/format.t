#!/bin/sh
# The sources are as clang-format leaves them, and no file outgrows its purpose.
cd "${SGAPS_ROOT:-.}" || exit 1
echo 1..2
sources() {
    find lib cmd tests \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' \) "$@"
}
bad=$(sources -exec clang-format --output-replacements-xml {} \; -print 2>/dev/null |
    awk '/<replacement /{n=1} /^(lib|cmd|tests)\//{if (n) print; n=0}')
if [ -z "$bad" ]; then echo "ok 1 - clang-format has nothing to change"; else
    echo "not ok 1 - clang-format has nothing to change"
    echo "$bad" | sed 's/^/# clang-format -i /'
fi
long=$(sources -exec wc -l {} + | awk '$1 > 600 && $2 != "total" {print $2 ": " $1 " lines"}')
if [ -z "$long" ]; then echo "ok 2 - no source is longer than 600 lines"; else
    echo "not ok 2 - no source is longer than 600 lines"
    echo "$long" | sed 's/^/# /'
fi
