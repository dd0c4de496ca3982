/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See host.h.
 *
 * When this process dies the kernel closes its event channels and unmaps its
 * grants. The guests do not notice: their end of the channel turns unbound,
 * waiting for dom0 to bind it again, and grant reference 1 stays valid. So a
 * restart binds and maps as the first start did and kicks everybody once, in
 * case a signal was sent while nobody listened. Deaths missed meanwhile are
 * found by host_scan().
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>

#include <xen/sysctl.h>

#include <xen/grant_table.h>

#include <xen/sys/privcmd.h>
#include <xen/sys/xenbus_dev.h>

#include "bulkhead/evtchn.h"
#include "bulkhead/gnttab.h"
#include "store/host.h"
#include "store/persist.h"
#include "store/ring.h"

#define PAGE  4096
#define BATCH 32 /* domains asked about at once: fits a page each two */
#define PORTS 65536

static struct {
	int evtchn, gnttab, privcmd;
	int virq;
	struct domain **by_port; /* [PORTS] */
	bool *masked; /* [PORTS] fired, to be let go after the turn */
	void *buf;    /* memory the hypervisor may write */
} host = { .evtchn = -1, .gnttab = -1, .privcmd = -1, .virq = -1 };

static_assert(sizeof(struct xen_domctl_getdomaininfo) * BATCH <= 2 * PAGE,
	      "the answer fits the buffer");

/* ---- pages and ports --------------------------------------------------- */

/* dom0's ring belongs to its kernel, which offers it as a device. */
static int map_own(void **ret)
{
	_cleanup_close_ int fd =
		open("/dev/xen/xenbus_backend", O_RDWR | O_CLOEXEC);
	void *p;

	if (fd < 0)
		return -errno;
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

static int own_port(uint32_t *ret)
{
	_cleanup_close_ int fd =
		open("/dev/xen/xenbus_backend", O_RDWR | O_CLOEXEC);
	int port;

	if (fd < 0)
		return -errno;
	port = ioctl(fd, IOCTL_XENBUS_BACKEND_EVTCHN);
	if (port <= 0)
		return port < 0 ? -errno : -ENODEV;
	*ret = (uint32_t)port;
	return 0;
}

/* For a domain whose builder did not grant the page. */
static int map_foreign(uint16_t domid, uint64_t frame, void **ret)
{
	xen_pfn_t pfn = frame;
	int err = 0;
	struct privcmd_mmapbatch_v2 map = {
		.num = 1,
		.dom = domid,
		.arr = &pfn,
		.err = &err,
	};
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       host.privcmd, 0);
	int r = 0;

	if (p == MAP_FAILED)
		return -errno;
	map.addr = (uint64_t)(uintptr_t)p;
	if (ioctl(host.privcmd, IOCTL_PRIVCMD_MMAPBATCH_V2, &map) < 0)
		r = -errno;
	else
		r = err;
	if (r < 0) {
		munmap(p, PAGE);
		return r;
	}
	*ret = p;
	return 0;
}

static int map_ring(const struct domain *d, void **ret)
{
	int r;

	if (d->domid == 0)
		return map_own(ret);
	r = bh_gnt_map(host.gnttab, d->domid, GNTTAB_RESERVED_XENSTORE, ret);
	return r < 0 ? map_foreign(d->domid, d->frame, ret) : 0;
}

static void unmap_ring(const struct domain *d, void *page)
{
	if (d->domid == 0)
		munmap(page, PAGE);
	else
		bh_gnt_unmap(host.gnttab, page);
}

static void host_detach(struct store *s __unused_arg, struct domain *d)
{
	void *page = d->conn->ring.page;

	if (d->local_port >= 0) {
		host.by_port[d->local_port] = NULL;
		host.masked[d->local_port] = false;
		(void)bh_evtchn_unbind(host.evtchn, (uint32_t)d->local_port);
		d->local_port = -1;
	}
	ring_detach(d->conn);
	if (page)
		unmap_ring(d, page);
}

static int host_attach(struct store *s, struct domain *d, bool resume)
{
	void *page;
	int port, r;

	d->conn->ops = &ring_ops;
	r = map_ring(d, &page);
	if (r < 0)
		return r;
	r = ring_attach(d->conn, page, resume);
	if (r < 0) {
		unmap_ring(d, page);
		return r;
	}
	port = bh_evtchn_bind_interdomain(host.evtchn, d->domid, d->port);
	if (port < 0 || port >= PORTS) {
		host_detach(s, d);
		return port < 0 ? port : -ENOSPC;
	}
	d->local_port = port;
	host.by_port[port] = d;
	conn_wake(d->conn);
	return 0;
}

const struct store_host host_ops = {
	.attach = host_attach,
	.detach = host_detach,
};

/* ---- who is alive ------------------------------------------------------ */

/* Up to BATCH domains from first on, in order; their number. */
static int get_domains(uint16_t first, struct xen_domctl_getdomaininfo **ret)
{
	struct xen_sysctl *op = host.buf;
	struct xen_domctl_getdomaininfo *info =
		(void *)((char *)host.buf + PAGE);
	struct privcmd_hypercall call = {
		.op = __HYPERVISOR_sysctl,
		.arg = { (uint64_t)(uintptr_t)op },
	};

	memset(host.buf, 0, 3 * PAGE);
	op->cmd = XEN_SYSCTL_getdomaininfolist;
	op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
	op->u.getdomaininfolist.first_domain = first;
	op->u.getdomaininfolist.max_domains = BATCH;
	set_xen_guest_handle(op->u.getdomaininfolist.buffer, info);
	if (ioctl(host.privcmd, IOCTL_PRIVCMD_HYPERCALL, &call) < 0)
		return -errno;
	*ret = info;
	return (int)MIN(op->u.getdomaininfolist.num_domains, (uint32_t)BATCH);
}

int host_scan(struct store *s)
{
	_cleanup_free_ uint8_t *state = calloc(1, DB_DOMIDS);
	struct xen_domctl_getdomaininfo *info = NULL;
	struct domain *d, *next;
	uint32_t first = 0;
	int n;

	if (!state)
		return -ENOMEM;
	do {
		n = get_domains((uint16_t)first, &info);
		if (n < 0)
			return bh_log_errno(
				BH_ERR, n,
				"cannot list domains; deaths go unnoticed");
		for (int i = 0; i < n; i++) {
			if (info[i].domain >= DB_DOMIDS)
				continue;
			state[info[i].domain] =
				info[i].flags & XEN_DOMINF_dying      ? 0
				: info[i].flags & XEN_DOMINF_shutdown ? 2
								      : 1;
			first = info[i].domain + 1u;
		}
	} while (n == BATCH && first < DB_DOMIDS);

	for (d = LIST_FIRST(&s->domains); d; d = next) {
		next = LIST_NEXT(d, link);
		if (d->domid == 0)
			continue;
		if (state[d->domid] == 0)
			domain_gone(s, d);
		else if (state[d->domid] == 2)
			domain_set_shutdown(s, d, true);
	}
	return 0;
}

/* ---- start and events -------------------------------------------------- */

static int introduce_self(struct store *s)
{
	uint32_t port;
	int r = own_port(&port);

	if (r == 0 && !store_domain(s, 0))
		r = domain_introduce(s, 0, 0, port);
	if (r < 0)
		bh_log_errno(
			BH_ERR, r,
			"dom0's own ring (/dev/xen/xenbus_backend) cannot be served");
	return r;
}

static int open_devices(void)
{
	host.evtchn = bh_evtchn_open();
	if (host.evtchn < 0)
		return bh_log_errno(
			BH_ERR, host.evtchn,
			"/dev/xen/evtchn: is this dom0, and is xen-evtchn loaded?");
	host.gnttab = bh_gnt_open();
	if (host.gnttab < 0)
		return bh_log_errno(BH_ERR, host.gnttab,
				    "/dev/xen/gntdev: is xen-gntdev loaded?");
	host.privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	if (host.privcmd < 0)
		return bh_log_errno(BH_ERR, -errno,
				    "/dev/xen/privcmd: is xen-privcmd loaded?");
	return 0;
}

/* Memory that stays put while a hypercall writes it. */
static int get_buffer(void)
{
	_cleanup_close_ int fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
	void *p = MAP_FAILED;

	if (fd >= 0)
		p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0);
	if (p == MAP_FAILED)
		p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED |
				 MAP_POPULATE,
			 -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	host.buf = p;
	return 0;
}

/* After a restart: maps and binds every domain that was put back. */
static int resume(struct store *s)
{
	struct domain *d;
	int r;

	LIST_FOREACH(d, &s->domains, link) {
		if (d->domid == 0)
			(void)own_port(&d->port);
		d->conn->ops = &ring_ops;
		r = host_attach(s, d, true);
		if (r == 0)
			continue;
		/* It may just be dying: then a scan will find it. */
		bh_log_errno(BH_WARNING, r,
			     "domain %u: its ring cannot be served again",
			     d->domid);
		if (r == -EBADMSG)
			domain_break(s, d, XENSTORE_ERROR_RINGIDX);
	}
	return 0;
}

int host_open(struct store *s)
{
	int r = open_devices();

	if (r < 0)
		return r;
	host.by_port = calloc(PORTS, sizeof(struct domain *));
	host.masked = calloc(PORTS, sizeof(bool));
	if (!host.by_port || !host.masked)
		return -ENOMEM;
	r = get_buffer();
	if (r < 0)
		return bh_log_errno(BH_ERR, r, "no memory for hypercalls");

	host.virq = bh_evtchn_bind_virq(host.evtchn, VIRQ_DOM_EXC);
	if (host.virq == -EEXIST)
		bh_log(BH_ERR,
		       "another store is running (VIRQ_DOM_EXC is taken); stop xenstored first");
	else if (host.virq < 0)
		bh_log_errno(BH_ERR, host.virq, "VIRQ_DOM_EXC cannot be bound");
	if (host.virq < 0)
		return host.virq;
	/* First those that died while nobody looked. */
	r = host_scan(s);
	if (r == 0)
		r = resume(s);
	return r < 0 ? r : introduce_self(s);
}

void host_close(void)
{
	host.evtchn = bh_close(host.evtchn);
	host.gnttab = bh_close(host.gnttab);
	host.privcmd = bh_close(host.privcmd);
	free(host.by_port);
	free(host.masked);
	host.by_port = NULL;
	host.masked = NULL;
}

int host_fd(void)
{
	return host.evtchn;
}

int host_process(struct store *s)
{
	bool deaths = false;
	int port;

	/* Every port can be in the device's queue once: this ends. */
	while ((port = bh_evtchn_pending(host.evtchn)) >= 0) {
		if (port == host.virq) {
			deaths = true;
			(void)bh_evtchn_unmask(host.evtchn, (uint32_t)port);
		} else if (port < PORTS && host.by_port[port]) {
			host.masked[port] = true;
			conn_wake(host.by_port[port]->conn);
		} else {
			(void)bh_evtchn_unmask(host.evtchn, (uint32_t)port);
		}
	}
	if (port != -EAGAIN)
		return port;
	return deaths ? host_scan(s) : 0;
}

void host_kick(struct store *s)
{
	struct domain *d;

	LIST_FOREACH(d, &s->domains, link) {
		if (d->local_port < 0)
			continue;
		if (d->conn->ring.kick) {
			d->conn->ring.kick = false;
			(void)bh_evtchn_notify(host.evtchn,
					       (uint32_t)d->local_port);
		}
		/* Still having its turns: no need to hear from it before. */
		if (host.masked[d->local_port] && !d->conn->queue) {
			host.masked[d->local_port] = false;
			(void)bh_evtchn_unmask(host.evtchn,
					       (uint32_t)d->local_port);
		}
	}
}
