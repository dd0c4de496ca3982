/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's own nodes in the store.
 *
 * The layout is the one guests and stock tools expect. What the guest may
 * write is listed below; everything else it can only read, since the backends
 * and we act on it.
 */
#include "bulkhead/domstore.h"

#include <inttypes.h>
#include <poll.h>

struct add {
	const struct bh_guest_cfg *c;
	const struct bh_domain *d;
};

static const char *const ro_dirs[] = { "",        "/cpu",     "/memory",
				       "/device", "/control", "/console",
				       "/store",  "/bulkhead" };
static const char *const rw_dirs[] = {
	"/control/shutdown",
	"/control/feature-poweroff",
	"/control/feature-reboot",
	"/control/feature-suspend",
	"/control/sysrq",
	"/device/suspend/event-channel",
	"/data",
	"/data/bulkhead",
	"/attr",
	"/drivers",
	"/feature",
	"/error",
};

static int wr(struct bh_xs *xs, bh_xs_tx tx, uint32_t domid, const char *node,
	      const char *fmt, ...) __printf_like(5, 6);
static int wr(struct bh_xs *xs, bh_xs_tx tx, uint32_t domid, const char *node,
	      const char *fmt, ...)
{
	char path[128], value[512];
	va_list ap;
	int r;

	r = bh_snprintf(path, sizeof(path), "/local/domain/%u/%s", domid, node);
	if (r < 0)
		return r;
	va_start(ap, fmt);
	r = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (r < 0 || (size_t)r >= sizeof(value))
		return -ENAMETOOLONG;
	return bh_xs_write(xs, tx, path, value);
}

static int make_dirs(struct bh_xs *xs, bh_xs_tx tx, uint32_t domid)
{
	const struct bh_xs_perm ro[] = { { 0, BH_XS_PERM_NONE },
					 { domid, BH_XS_PERM_READ } };
	const struct bh_xs_perm rw[] = { { domid, BH_XS_PERM_NONE } };
	char path[128];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ro_dirs); i++) {
		r = bh_snprintf(path, sizeof(path), "/local/domain/%u%s", domid,
				ro_dirs[i]);
		if (r >= 0)
			r = bh_xs_mkdir(xs, tx, path);
		if (r == 0)
			r = bh_xs_set_perms(xs, tx, path, ro, 2);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rw_dirs); i++) {
		r = bh_snprintf(path, sizeof(path), "/local/domain/%u%s", domid,
				rw_dirs[i]);
		if (r >= 0)
			r = bh_xs_write(xs, tx, path, "");
		if (r == 0)
			r = bh_xs_set_perms(xs, tx, path, rw, 1);
	}
	return r;
}

static int add_nodes(struct bh_xs *xs, bh_xs_tx tx, void *arg)
{
	const struct add *a = arg;
	const struct bh_guest_cfg *c = a->c;
	uint32_t id = a->d->domid;
	char path[128], uuid[37], node[64];
	int r;

	bh_uuid_format(c->uuid, uuid);
	r = bh_snprintf(path, sizeof(path), "/local/domain/%u", id);
	if (r < 0)
		return r;
	r = bh_xs_rm(xs, tx, path); /* of an earlier domain of this number */
	if (r == 0)
		r = make_dirs(xs, tx, id);
	if (r == 0)
		r = bh_xs_writef(xs, tx, path, "%s", "");
#define W(node, ...)                                           \
	do {                                                   \
		if (r == 0)                                    \
			r = wr(xs, tx, id, node, __VA_ARGS__); \
	} while (0)
	W("vm", "/vm/%s", uuid);
	W("name", "%s", c->name);
	W("domid", "%u", id);
	W("memory/static-max", "%" PRIu64, c->maxmem_kib);
	W("memory/target", "%" PRIu64, c->memory_kib);
	W("memory/videoram", "0");
	W("control/platform-feature-multiprocessor-suspend", "1");
	W("control/platform-feature-xs_reset_watches", "1");
	for (uint32_t v = 0; r == 0 && v < c->maxvcpus; v++) {
		r = bh_snprintf(node, sizeof(node), "cpu/%u/availability", v);
		if (r >= 0)
			r = wr(xs, tx, id, node, "%s",
			       v < c->vcpus ? "online" : "offline");
	}
	/* Not "xenconsoled": that daemon may run beside us and must not take it */
	W("console/type", "bulkhead");
	W("console/ring-ref", "%" PRIu64, a->d->console_mfn);
	W("console/port", "%u", a->d->console_port);
	W("console/limit", "1048576");
	W("store/ring-ref", "%" PRIu64, a->d->store_mfn);
	W("store/port", "%u", a->d->store_port);
#undef W
	if (r == 0)
		r = bh_xs_writef(xs, tx, "/vm", "%s", "");
	if (r == 0)
		r = bh_snprintf(path, sizeof(path), "/vm/%s/name", uuid);
	if (r >= 0)
		r = bh_xs_write(xs, tx, path, c->name);
	if (r == 0)
		r = bh_snprintf(path, sizeof(path), "/vm/%s/uuid", uuid);
	if (r >= 0)
		r = bh_xs_write(xs, tx, path, uuid);
	return r < 0 ? r : 0;
}

int bh_store_domain_add(struct bh_xs *xs, const struct bh_guest_cfg *c,
			const struct bh_domain *d, struct bh_err *e)
{
	struct add a = { c, d };
	int r = bh_xs_transaction(xs, add_nodes, &a);

	if (r < 0)
		return bh_fail(e, r, "cannot write to the store: %s",
			       strerror(-r));
	return 0;
}

int bh_store_domain_rm(struct bh_xs *xs, uint32_t domid)
{
	_cleanup_free_ char *vm = NULL;
	char path[96];
	int r;

	bh_dev_remove_all(xs, domid);
	r = bh_xs_readf(xs, BH_XS_NONE, &vm, "/local/domain/%u/vm", domid);
	if (r == 0 && bh_startswith(vm, "/vm/") && strlen(vm) == 40)
		(void)bh_xs_rm(xs, BH_XS_NONE, vm);
	(void)bh_xs_release(xs, domid);
	r = bh_snprintf(path, sizeof(path), "/local/domain/%u", domid);
	return r < 0 ? r : bh_xs_rm(xs, BH_XS_NONE, path);
}

char *bh_store_domain_name(struct bh_xs *xs, uint32_t domid)
{
	char *name;

	if (bh_xs_readf(xs, BH_XS_NONE, &name, "/local/domain/%u/name", domid) <
	    0)
		return NULL;
	return name;
}

int bh_store_find(struct bh_xs *xs, struct bh_hv *h, const char *name,
		  uint32_t *ret_domid)
{
	_cleanup_free_ struct xen_domctl_getdomaininfo *list = NULL;
	uint32_t id;
	size_t n;
	int r = bh_hv_domain_list(h, &list, &n);

	if (r < 0)
		return r;
	if (bh_parse_u32(name, &id) == 0) {
		for (size_t i = 0; i < n; i++)
			if (list[i].domain == id) {
				*ret_domid = id;
				return 0;
			}
		return -ESRCH;
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *s = NULL;

		s = bh_store_domain_name(xs, list[i].domain);
		if ((s && streq(s, name)) ||
		    (list[i].domain == 0 && streq(name, "Domain-0"))) {
			*ret_domid = list[i].domain;
			return 0;
		}
	}
	return -ESRCH;
}

static unsigned int read_state(struct bh_xs *xs, const char *path)
{
	uint64_t v;
	int r = bh_xs_read_u64(xs, BH_XS_NONE, path, &v);

	if (r == -ENOENT)
		return 6;
	return r < 0 || v > 8 ? 0 : (unsigned int)v;
}

static void on_state(struct bh_xs *xs, const char *event, void *arg)
{
	(void)xs;
	(void)event;
	(void)arg; /* waking up is all it is for */
}

int bh_store_wait_state(struct bh_xs *xs, const char *path, unsigned int mask,
			unsigned int timeout_s, unsigned int *ret_state)
{
	uint64_t end = bh_now_us() + timeout_s * 1000000ull;
	struct bh_xs_watch *w;
	unsigned int s;
	int r;

	s = read_state(xs, path);
	if (mask & 1u << s) {
		*ret_state = s;
		return 0;
	}
	r = bh_xs_watch(xs, path, on_state, NULL, &w);
	if (r < 0)
		return r;
	for (;;) {
		uint64_t now = bh_now_us();
		struct pollfd p = { .fd = bh_xs_fd(xs), .events = POLLIN };

		s = read_state(xs, path);
		if (mask & 1u << s)
			break;
		if (now >= end) {
			r = -ETIMEDOUT;
			break;
		}
		/* at most a second, in case the store was restarted */
		(void)poll(&p, 1,
			   (int)MIN((end - now) / 1000 + 1, (uint64_t)1000));
		r = bh_xs_process(xs);
		if (r < 0)
			break;
	}
	bh_xs_unwatch(xs, w);
	*ret_state = s;
	return r < 0 ? r : 0;
}
