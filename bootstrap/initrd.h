/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small initrd that lets a distribution's own kernel boot a guest: the Xen
 * front ends and what a guest's init expects, from the host's modules. Only
 * for hosts without a domU kernel package; the host's own initrd will not do,
 * because it holds the drivers of the host's hardware.
 */
#pragma once

/* Path of the initrd for this kernel release, made or renewed if need be. */
int initrd_for(const char *release, char **ret_path);
