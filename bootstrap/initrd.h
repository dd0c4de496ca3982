/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small initrd that lets a distribution's own kernel boot a guest: the Xen
 * front ends and what a guest's init expects, from the host's modules. Only
 * for hosts without a domU kernel package; the host's own initrd will not do,
 * because it holds the drivers of the host's hardware.
 */
#pragma once

/* The initrd for this kernel release. */
char *initrd_path(const char *release);
/* Makes or renews it if need be. */
int initrd_make(const char *release);
