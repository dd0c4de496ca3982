/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/xen/privcmd: hypercalls and foreign mappings. See hv.h.
 *
 * The ioctl is issued by syscall(2), since glibc's ioctl() cuts the result to
 * an int and populate_physmap or maximum_ram_page may return more.
 */
#include "bulkhead/hv.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <xen/event_channel.h>
#include <xen/sys/privcmd.h>
#include <xen/version.h>

#define ARENA_PAGES 288u /* fits 512 extents of everything, see callers */
#define ARENA_SIZE  ((size_t)ARENA_PAGES * BH_PAGE_SIZE)

struct bh_hv {
	int fd;
	int buf_fd;
	uint8_t *arena;
	size_t used;
};

int bh_hv_open(struct bh_hv **ret)
{
	struct bh_hv *h = calloc(1, sizeof(*h));
	void *p = MAP_FAILED;

	if (!h)
		return -ENOMEM;
	h->buf_fd = -1;
	h->fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	if (h->fd < 0) {
		int r = -errno;

		free(h);
		return r;
	}
	h->buf_fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
	if (h->buf_fd >= 0)
		p = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 h->buf_fd, 0);
	if (p == MAP_FAILED) /* kernels before 4.18 have no such device */
		p = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED |
				 MAP_POPULATE,
			 -1, 0);
	if (p == MAP_FAILED) {
		int r = -errno;

		bh_hv_close(h);
		return r;
	}
	(void)madvise(p, ARENA_SIZE, MADV_DONTFORK);
	h->arena = p;
	*ret = h;
	return 0;
}

void bh_hv_close(struct bh_hv *h)
{
	if (!h)
		return;
	if (h->arena)
		munmap(h->arena, ARENA_SIZE);
	bh_close(h->buf_fd);
	bh_close(h->fd);
	free(h);
}

size_t bh_hv_mark(const struct bh_hv *h)
{
	return h->used;
}

void bh_hv_release(struct bh_hv *h, size_t mark)
{
	h->used = mark;
}

size_t bh_hv_buf_max(const struct bh_hv *h)
{
	return ARENA_SIZE - h->used;
}

void *bh_hv_buf(struct bh_hv *h, size_t size)
{
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (size > ARENA_SIZE - h->used)
		return NULL;
	p = h->arena + h->used;
	h->used += size;
	memset(p, 0, size);
	return p;
}

long bh_hv_call(struct bh_hv *h, unsigned int op, uint64_t a0, uint64_t a1,
		uint64_t a2, uint64_t a3, uint64_t a4)
{
	struct privcmd_hypercall call = { op, { a0, a1, a2, a3, a4 } };
	long r;

	do {
		r = syscall(SYS_ioctl, h->fd, IOCTL_PRIVCMD_HYPERCALL, &call);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int bh_hv_domctl(struct bh_hv *h, struct xen_domctl *op)
{
	size_t mark = bh_hv_mark(h);
	struct xen_domctl *b = bh_hv_buf(h, sizeof(*b));
	long r = -ENOMEM;

	if (b) {
		*b = *op;
		b->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
		for (unsigned int i = 0; i < 1000; i++) {
			r = bh_hv_call(h, __HYPERVISOR_domctl, (uintptr_t)b, 0,
				       0, 0, 0);
			if (r != -EAGAIN)
				break;
			usleep(1000); /* another tool holds it up */
		}
		*op = *b;
	}
	bh_hv_release(h, mark);
	return (int)r;
}

int bh_hv_sysctl(struct bh_hv *h, struct xen_sysctl *op)
{
	size_t mark = bh_hv_mark(h);
	struct xen_sysctl *b = bh_hv_buf(h, sizeof(*b));
	long r = -ENOMEM;

	if (b) {
		*b = *op;
		b->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
		r = bh_hv_call(h, __HYPERVISOR_sysctl, (uintptr_t)b, 0, 0, 0,
			       0);
		*op = *b;
	}
	bh_hv_release(h, mark);
	return (int)r;
}

int bh_hv_map(struct bh_hv *h, uint32_t domid, int prot, const xen_pfn_t *mfns,
	      size_t n, int *err, void **ret)
{
	_cleanup_free_ int *own = NULL;
	struct privcmd_mmapbatch_v2 op;
	void *p;

	if (n == 0 || n > UINT32_MAX / 2)
		return -EINVAL;
	if (!err) {
		err = own = calloc(n, sizeof(*own));
		if (!own)
			return -ENOMEM;
	}
	p = mmap(NULL, n * BH_PAGE_SIZE, prot, MAP_SHARED, h->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	op = (struct privcmd_mmapbatch_v2){ .num = (unsigned int)n,
					    .dom = (domid_t)domid,
					    .addr = (uintptr_t)p,
					    .arr = mfns,
					    .err = err };
	if (ioctl(h->fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &op) < 0 &&
	    errno != ENOENT) {
		int r = -errno;

		munmap(p, n * BH_PAGE_SIZE);
		return r;
	}
	for (size_t i = 0; own && i < n; i++)
		if (err[i]) {
			int r = err[i];

			munmap(p, n * BH_PAGE_SIZE);
			return r;
		}
	*ret = p;
	return 0;
}

int bh_hv_map_resource(struct bh_hv *h, uint32_t domid, unsigned int type,
		       unsigned int id, size_t frames, void **ret)
{
	struct privcmd_mmap_resource op;
	void *p;

	p = mmap(NULL, frames * BH_PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_SHARED, h->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	op = (struct privcmd_mmap_resource){ .dom = (domid_t)domid,
					     .type = type,
					     .id = id,
					     .num = frames,
					     .addr = (uintptr_t)p };
	if (ioctl(h->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &op) < 0) {
		int r = -errno;

		munmap(p, frames * BH_PAGE_SIZE);
		return r;
	}
	*ret = p;
	return 0;
}

void bh_hv_unmap(void *p, size_t n)
{
	if (p)
		munmap(p, n * BH_PAGE_SIZE);
}

int bh_hv_evtchn_alloc_unbound(struct bh_hv *h, uint32_t domid, uint32_t remote,
			       uint32_t *ret_port)
{
	size_t mark = bh_hv_mark(h);
	struct evtchn_alloc_unbound *op = bh_hv_buf(h, sizeof(*op));
	long r = -ENOMEM;

	if (op) {
		op->dom = (domid_t)domid;
		op->remote_dom = (domid_t)remote;
		r = bh_hv_call(h, __HYPERVISOR_event_channel_op,
			       EVTCHNOP_alloc_unbound, (uintptr_t)op, 0, 0, 0);
		if (r == 0)
			*ret_port = op->port;
	}
	bh_hv_release(h, mark);
	return (int)r;
}

int bh_hv_version(struct bh_hv *h, char *buf, size_t size)
{
	size_t mark = bh_hv_mark(h);
	char *extra = bh_hv_buf(h, sizeof(xen_extraversion_t));
	long v, r = -ENOMEM;

	v = bh_hv_call(h, __HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0);
	if (v < 0)
		r = v;
	else if (extra)
		r = bh_hv_call(h, __HYPERVISOR_xen_version, XENVER_extraversion,
			       (uintptr_t)extra, 0, 0, 0);
	if (r >= 0)
		r = bh_snprintf(buf, size, "%ld.%ld%.*s", v >> 16, v & 0xffff,
				(int)sizeof(xen_extraversion_t), extra);
	bh_hv_release(h, mark);
	return r < 0 ? (int)r : 0;
}

int bh_hv_capabilities(struct bh_hv *h, char *buf, size_t size)
{
	size_t mark = bh_hv_mark(h);
	char *caps = bh_hv_buf(h, sizeof(xen_capabilities_info_t));
	long r = -ENOMEM;

	if (caps)
		r = bh_hv_call(h, __HYPERVISOR_xen_version, XENVER_capabilities,
			       (uintptr_t)caps, 0, 0, 0);
	if (r >= 0)
		r = bh_snprintf(buf, size, "%.*s",
				(int)sizeof(xen_capabilities_info_t), caps);
	bh_hv_release(h, mark);
	return r < 0 ? (int)r : 0;
}
