/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs in dom0: prints the time-stamp counter and lets a created guest run. The
 * guest's init prints the same counter, so the difference is what its kernel
 * took; a direct domctl keeps the start of a whole tool out of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <x86intrin.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sys/privcmd.h>

int main(int argc, char **argv)
{
	int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	privcmd_hypercall_t call = { .op = __HYPERVISOR_domctl };
	struct xen_domctl *op;
	unsigned long t;

	op = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
	if (argc != 2 || fd < 0 || op == MAP_FAILED) {
		fprintf(stderr, "usage: unpause DOMID, in dom0\n");
		return 2;
	}
	memset(op, 0, sizeof(*op));
	op->cmd = XEN_DOMCTL_unpausedomain;
	op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
	op->domain = (domid_t)atoi(argv[1]);
	call.arg[0] = (uintptr_t)op;
	t = __rdtsc();
	if (ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call) < 0) {
		perror("unpause");
		return 1;
	}
	printf("BENCH unpaused %lu\n", t);
	return 0;
}
