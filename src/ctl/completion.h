#pragma once

/* What a shell needs to complete our command line, printed from the table of verbs.
 *
 * Nothing is known here that the table does not say: what a verb takes is read from its `arguments` (NAME, ENDPOINT,
 * FILE, VERB), the values of an option from the words in quotes in its help.  Names of services and endpoints are
 * asked of the daemon when they are needed. */

#include "ctl/ctl.h"

/* @shell  "bash", "zsh" or "fish"
 *
 * Returns CTL_OK, or CTL_USAGE: there is no such shell, which is told. */
CtlResult completion_print(const char *shell);
