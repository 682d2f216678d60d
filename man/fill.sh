#!/bin/sh
# Prints a manual whose line @VERBS@ is replaced by what the program knows of itself:
#     sh man/fill.sh REUSEPORTCTL TEMPLATE
set -eu

verbs=$(mktemp)
trap 'rm -f "$verbs"' EXIT
"$1" help --mdoc >"$verbs"
sed -e "/^@VERBS@\$/{" -e "r $verbs" -e "d" -e "}" "$2"
