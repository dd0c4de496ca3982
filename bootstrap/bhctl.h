/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vm-bootstrap asks of the toolstack, through its command: everything
 * about running domains is bhctl's business and only there.
 */
#pragma once

#include "util.h"

/* a[0] is the guest. Enable and disable are autostart; kill is a hard stop. */
int bhctl_enable(const char *const *a);
int bhctl_disable(const char *const *a);
int bhctl_kill(const char *const *a);
/* Of a guest just made: if it fails, says that the guest is there. */
int bhctl_start(const char *guest);
int bhctl_shutdown(const char *guest);
/* Names of the guests that run; none if there is no hypervisor here. */
void bhctl_running(struct strv *ret);
/* 1 running, 0 stopped or no hypervisor here, never fails. */
int bhctl_is_running(const char *guest);
