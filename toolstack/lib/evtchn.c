/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/xen/evtchn: see bulkhead/evtchn.h. The fd is opened non-blocking, since
 * every user sits in an event loop and a spurious wake-up must not hang it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <xen/xen.h>

#include <xen/evtchn.h>

#include "bulkhead/evtchn.h"

int bh_evtchn_open(void)
{
	int fd = open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int evtchn_ioctl(int fd, unsigned long cmd, void *arg)
{
	int r = ioctl(fd, cmd, arg);

	return r < 0 ? -errno : r;
}

int bh_evtchn_bind_interdomain(int fd, uint32_t domid, uint32_t port)
{
	struct ioctl_evtchn_bind_interdomain bind = {
		.remote_domain = domid,
		.remote_port = port,
	};

	return evtchn_ioctl(fd, IOCTL_EVTCHN_BIND_INTERDOMAIN, &bind);
}

int bh_evtchn_bind_unbound(int fd, uint32_t domid)
{
	struct ioctl_evtchn_bind_unbound_port bind = { .remote_domain = domid };

	return evtchn_ioctl(fd, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &bind);
}

int bh_evtchn_bind_virq(int fd, uint32_t virq)
{
	struct ioctl_evtchn_bind_virq bind = { .virq = virq };

	return evtchn_ioctl(fd, IOCTL_EVTCHN_BIND_VIRQ, &bind);
}

int bh_evtchn_unbind(int fd, uint32_t port)
{
	struct ioctl_evtchn_unbind unbind = { .port = port };

	return evtchn_ioctl(fd, IOCTL_EVTCHN_UNBIND, &unbind);
}

int bh_evtchn_notify(int fd, uint32_t port)
{
	struct ioctl_evtchn_notify notify = { .port = port };

	return evtchn_ioctl(fd, IOCTL_EVTCHN_NOTIFY, &notify);
}

int bh_evtchn_pending(int fd)
{
	uint32_t port;
	ssize_t n = read(fd, &port, sizeof(port));

	if (n == sizeof(port))
		return (int)port;
	return n < 0 ? -errno : -EIO;
}

int bh_evtchn_unmask(int fd, uint32_t port)
{
	return write(fd, &port, sizeof(port)) == sizeof(port) ? 0 : -errno;
}
