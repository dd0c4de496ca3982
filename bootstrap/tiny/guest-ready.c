/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs once inside a guest when it is up: writes data/bulkhead/ready = 1 to
 * the store, where vm-bootstrap --wait looks for it. Static and without any
 * dependency, so that one file serves every distribution and the tiny guest.
 */
#include <stdio.h>
#include <string.h>

#include "../xswire.h"

int main(void)
{
	static const char msg[] = "data/bulkhead/ready\0001";
	char reply[4200];
	int fd = xsw_open(), r;

	if (fd < 0) {
		fprintf(stderr, "guest-ready: no store here: %s\n",
			strerror(-fd));
		return 1;
	}
	r = xsw_call(fd, XSW_WRITE, msg, sizeof(msg) - 1, reply, sizeof(reply));
	if (r < 0) {
		fprintf(stderr, "guest-ready: cannot write: %s\n",
			strerror(-r));
		return 1;
	}
	return 0;
}
