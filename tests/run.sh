#!/bin/sh
# Runs one test for prove: a program prints TAP itself, a .bats file through bats.
case $1 in
*.bats) exec bats --tap "$1" ;;
*.py | *.t) exec "$1" ;;
/*) exec "$1" ;;
*) exec "./$1" ;;
esac
