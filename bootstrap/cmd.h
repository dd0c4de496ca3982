/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of subcommands. Each command is one file with one function; the
 * help text is printed from the table.
 */
#pragma once

#include "guest.h"

struct cmd {
	const char *name, *args, *summary;
	int (*fn)(int argc, char **argv);
};

int cmd_create(int argc, char **argv);
int cmd_clone(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_snapshots(int argc, char **argv);
int cmd_rollback(int argc, char **argv);
int cmd_resize(int argc, char **argv);
int cmd_destroy(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_recover(int argc, char **argv);

/* Prints "usage: vm-bootstrap NAME ARGS" of the command and returns -VMB_USAGE. */
int usage_of(const char *cmd);
/* Starts a guest just made, and waits at most so long, if not 0, until it is up. */
int start_guest(const struct guest *g, unsigned long seconds);
/* Locks the guest and recovers; returns the lock or a failure. */
int begin_guest(const char *name, const char *purpose);
