/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store's side of the machine: event channels, mapped ring pages, and
 * which domains are alive.
 */
#pragma once

#include "store/store.h"

/* Opens the devices and introduces dom0, whose kernel has a ring like others.
 * A clear line is logged before an error is returned. */
int host_open(struct store *s);
void host_close(void);
extern const struct store_host host_ops;

/* Readable when a port fired. */
int host_fd(void);
/* Takes the ports that fired: wakes their clients, looks for dead domains. */
int host_process(struct store *s);
/* Tells the guests whose rings were touched, and lets their ports fire again. */
void host_kick(struct store *s);

/* Compares the domains we know with those there are. */
int host_scan(struct store *s);
