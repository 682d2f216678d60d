#!/bin/sh
# Prints each case of tests/unit/cases.txt with the tests that hold it, and fails if one has none.  A test
# holds a case if the comment that ends on the line before it says "case 7" or "case 7, 9".
set -eu

cd "$(dirname "$0")/unit"

awk -F '\t' '
        FILENAME == "cases.txt" {
                if ($0 !~ /^#/) {
                        order[++n] = $1
                        text[$1] = $NF
                        if ($2 == "(bench)")
                                tests[$1] = "        tests/bench/bench-reuse.c\n"
                }
                next
        }
        /^\/\*/ { comment = ""; in_comment = 1 }
        in_comment { comment = comment " " $0 }
        /\*\/$/ { in_comment = 0; next }
        /^static void [a-z0-9_]*\(void \*\*state\)/ {
                name = $0
                sub(/^static void /, "", name)
                sub(/\(.*/, "", name)
                while (match(comment, /case [0-9]+(, [0-9]+)*/)) {
                        list = substr(comment, RSTART + 5, RLENGTH - 5)
                        comment = substr(comment, RSTART + RLENGTH)
                        m = split(list, numbers, ", ")
                        for (i = 1; i <= m; i++)
                                tests[numbers[i]] = tests[numbers[i]] "        " FILENAME ": " name "\n"
                }
        }
        /^[^\/ *]/ { comment = "" }
        END {
                for (i = 1; i <= n; i++) {
                        printf "%s  %s\n%s", order[i], text[order[i]], tests[order[i]]
                        if (tests[order[i]] == "")
                                missing = missing " " order[i]
                }
                if (missing != "") {
                        print "without a test:" missing
                        exit 1
                }
        }
' cases.txt test-*.c
