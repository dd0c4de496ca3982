/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Just enough of the XenStore wire protocol (ABI: public/io/xs_wire.h) to
 * write one node in a guest and to read a few in dom0. Libc only: it is also
 * linked statically into the guests' helper.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	XSW_DIRECTORY = 1,
	XSW_READ = 2,
	XSW_WRITE = 11,
	XSW_ERROR = 16
};

/* The kernel's device in a guest; in dom0 the daemon's socket first. */
int xsw_open(void);
/* Reply payload (0-terminated) into buf; its length, or a negative errno. */
int xsw_call(int fd, uint32_t type, const char *payload, size_t n, char *buf,
	     size_t size);
int xsw_read(int fd, const char *path, char *buf, size_t size);
