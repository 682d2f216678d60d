#!/bin/sh
# What mandoc has to say about pages of the manual, down to questions of style: sh tests/check-manuals.sh PAGE…
#
# That a page we refer to is not installed here is no fault of the page.  77 where mandoc is not installed.
set -eu

if ! command -v mandoc >/dev/null; then
    echo "mandoc is not installed"
    exit 77
fi

status=0
for page in "$@"; do
    if mandoc -Tlint -W style "$page" 2>/dev/null | grep -v 'referenced manual not found: Xr'; then
        status=1
    fi
done
exit $status
