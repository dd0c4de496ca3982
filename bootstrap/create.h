/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command line of vm-bootstrap create asks for. Reading it touches
 * nothing: everything it can get wrong is found before the first change.
 */
#pragma once

#include "make.h"

struct create {
	struct guest g;
	struct make_req q;
	struct tmpl tmpl;
	struct buf keys;
	char *template, *password, *user_data, *user, *extra;
	const char *netmask;
	bool start, wait, force, no_net, first_nic, mem_given, swap_given, dist;
	unsigned long timeout;
};

/* 1: help was asked for and given. */
int create_parse(struct create *c, int argc, char **argv);
/* Fills in what was not said, from the host's settings, and checks the whole. */
int create_complete(struct create *c);
void create_done(struct create *c);
