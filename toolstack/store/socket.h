/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients in dom0, through a Unix socket that only root can open: they have
 * dom0's rights. The daemon's restart closes them; libraries reconnect.
 */
#pragma once

#include <systemd/sd-event.h>

#include "store/store.h"

/* Takes connections on a listening fd. */
int socket_listen(struct store *s, sd_event *event, int fd);
/* Makes the listening socket, replacing one a dead daemon left. */
int socket_open(const char *path);
