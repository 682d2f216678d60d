#include "ctl/verb.h"

#include <string.h>

const VerbOption verb_options[] = {
        { 'j', false, true, "json", NULL, "Print JSON." },
        { 'P', false, true, "no-pager", NULL, "Do not page long output." },
        { 'L', false, true, "no-legend", NULL, "Leave out headings." },
        { 'q', true, true, "quiet", NULL, "Print errors only." },
        { 't', false, true, "timeout", "D", "Give up after so long: \"5s\", \"500ms\"." },
        { 'C', false, true, "control", "SOCKET", "Where the daemon listens." },
        { 's', true, false, "signal", "SIG", "The signal, SIGTERM if it is not given." },
        { 'o', false, false, "old", NULL, "Only workers of generations that leave." },
        { 'f', true, false, "follow", NULL, "Go on with what happens from now." },
        { 'd', false, false, "diff", NULL,
          "Print what a reload from it would open, close, change now and make pending." },
        { 'w', false, false, "for", "STATE", "\"running\" or \"stopped\"." },
        { 'c', false, false, "canary", "P,P…", "Growing percentages of new connections." },
        { 'S', false, false, "step", "D", "The time at each percentage." },
        { 'b', false, false, "canary-by", "WHAT", "\"connection\" or \"source\"." },
        { 'p', false, false, "preview", NULL, "Hold when it is healthy, before any visitor." },
        { 'E', true, false, "environment", "K=V",
          "A variable of the new generation; may be repeated." },
        { 'i', false, false, "id", "ID", "Of this deploy: asked for twice, it happens once." },
        { 'W', false, false, "wait", "WHAT", "\"ready\", \"switched\" or \"drained\"." },
        { 'n', false, false, "no-wait", NULL, "Return when it has begun." },
        { 'x', false, false, "completion", "SHELL",
          "Print the completion of a shell: \"bash\", \"zsh\" or \"fish\"." },
        { 'N', false, false, "nonblock", NULL,
          "The sockets shall be non-blocking (O_NONBLOCK), as nginx expects them." },
        { 'm', false, false, "mdoc", NULL, "Print the list of verbs for the manual." },
};
const size_t n_verb_options = ELEMENTS_OF(verb_options);

const Verb verbs[] = {
        { "list", "", 0, 0, "",
          "Lists the services, a line each: state, generation, colour, workers that are ready and "
          "wanted, share of the new generation, restarts, and whether a reload brought what only new "
          "workers will have.",
          verb_list },
        { "list-endpoints", "", 0, 0, "",
          "Lists the endpoints, a line each: addresses, sockets, how many wait in their queues, what "
          "the kernel dropped, and sockets of strangers in the same group.",
          verb_list_endpoints },
        { "status", "[NAME]", 0, 1, "",
          "Shows a service on one screen: workers, connections, the deploy that goes on and the last "
          "one, and hints.  Without a name: the daemon and its services.",
          verb_status },
        { "show", "NAME", 1, 1, "", "Shows every property of a service or an endpoint.", verb_show,
          .takes_endpoint = true },
        { "logs", "NAME", 1, 1, "f",
          "Shows what the daemon and its workers say of a service in the journal, by journalctl(1).",
          verb_logs },
        { "start", "NAME", 1, 1, "",
          "Starts a service, or wakes one that is asleep, and waits until its workers are ready.",
          verb_start },
        { "stop", "NAME", 1, 1, "",
          "Stops a service until it is started: its ports refuse at once and stay reserved; "
          "established connections have timeout_stop.  Waits until its workers are gone.",
          verb_stop },
        { "restart", "NAME", 1, 1, "",
          "Deploys the present settings without a canary; no connection is lost.  One that is asleep "
          "stays asleep.",
          verb_restart },
        { "deploy", "NAME [-- ARGV...]", 1, 4096, "cSbpEiWn",
          "Moves a service to a new generation beside the old one: checked through the door, then a "
          "growing share of new connections, then all.  If anything fails the old one has them all "
          "again, and this ends with 7.  Returns when the old one was asked to stop.  With ARGV, of "
          "that program instead of exec_start.",
          verb_deploy },
        { "promote", "NAME", 1, 1, "", "Tells a deploy to go on now, to all new connections.",
          verb_promote },
        { "abort", "NAME", 1, 1, "", "Gives up the deploy that goes on.", verb_abort },
        { "rollback", "NAME", 1, 1, "",
          "Goes back: gives up the deploy that goes on or, when the old generation was asked to stop "
          "already, deploys what ran before.",
          verb_rollback },
        { "scale", "NAME=N", 1, 1, "",
          "Changes the number of workers without losing a connection, until a reload changes it.  Waits "
          "until all are ready, and those that are too many are gone.",
          verb_scale },
        { "kill", "NAME", 1, 1, "so", "Sends a signal to the workers of a service.", verb_kill },
        { "reset-failed", "NAME", 1, 1, "",
          "Forgets that a service failed: delays between restarts begin anew, and one that is "
          "started on demand listens again.",
          verb_reset_failed },
        { "reload", "", 0, 0, "",
          "Lets the daemon read its configuration again and prints what changes.  Sockets that stay are "
          "the very same; if there is a problem nothing changes.",
          verb_reload },
        { "reexec", "", 0, 0, "",
          "Lets the daemon become the program that its file is now, as after an upgrade: same pid, same "
          "sockets, workers and deploys go on.  Refused, and nothing changes, if that program cannot "
          "go on from the present state.",
          verb_reexec },
        { "check", "[FILE]", 0, 1, "d",
          "Reads and checks a configuration and prints every problem; without a file, the daemon's.",
          verb_check },
        { "exec", "ENDPOINT... -- ARGV...", 2, 4096, "N",
          "Becomes another program, found in PATH, which holds the sockets of these endpoints from descriptor "
          "3 up, with LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES and REUSEPORTD_ADDRESS_NAME: under any "
          "supervisor, in a container, from a shell.  An endpoint without a service listens as long as the "
          "program runs; one of a service that is a unit is handed to that unit.",
          verb_exec },
        { "store", "ENDPOINT...", 1, 4096, "N",
          "Puts the sockets of these endpoints into the file descriptor store of the unit that runs this, in "
          "ExecStartPre=, so that its main process is given them.  The unit needs NotifyAccess=exec and "
          "FileDescriptorStoreMax=.",
          verb_store },
        { "wait", "NAME", 1, 1, "w", "Waits until a service is running, or stopped.", verb_wait },
        { "is-active", "NAME", 1, 1, "",
          "Prints the state of a service, and ends with 0 if visitors are served: running, deploying "
          "or listening; else with 3.",
          verb_is_active },
        { "is-failed", "NAME", 1, 1, "",
          "Prints the state of a service, and ends with 0 if it is failed; else with 1.",
          verb_is_failed },
        { "events", "", 0, 0, "f",
          "Prints what happened lately, a line for each event; with --follow goes on, without a gap.",
          verb_events },
        { "help", "[VERB]", 0, 1, "xm", "Explains a verb, or lists all.", verb_help },
};
const size_t n_verbs = ELEMENTS_OF(verbs);

const Verb *verb_find(const char *name) {
        for (size_t i = 0; i < n_verbs; i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];

        return NULL;
}

const VerbOption *verb_option_find(char letter) {
        for (size_t i = 0; i < n_verb_options; i++)
                if (verb_options[i].letter == letter)
                        return &verb_options[i];

        return NULL;
}
