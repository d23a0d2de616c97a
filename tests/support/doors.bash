# What the bats files of the tools share: how a tool refuses. A file named eval.bats speaks of sgaps-eval; TOOL says
# otherwise.

# fails CODE PATTERN: the last `run --separate-stderr` ended with CODE, said one line on stderr that begins with the
# tool's name and matches PATTERN, and nothing on stdout.
fails() {
    local tool=${TOOL:-sgaps-$(basename "$BATS_TEST_FILENAME" .bats)}
    [ "$status" -eq "$1" ] || { echo "status $status, wanted $1: $stderr"; return 1; }
    [ "${#stderr_lines[@]}" -eq 1 ] || { echo "not one line: $stderr"; return 1; }
    [[ $stderr == "$tool: "* ]] || { echo "no name: $stderr"; return 1; }
    [[ $stderr =~ $2 ]] || { echo "does not say $2: $stderr"; return 1; }
    [ -z "$output" ] || { echo "output: $output"; return 1; }
}

# nothing_left NAME: nothing under the final name, and no unfinished part of it.
nothing_left() {
    [ -z "$(ls -A | grep "^$1")" ]
}
