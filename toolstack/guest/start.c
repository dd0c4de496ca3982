/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building a guest and taking it apart again.
 *
 * The order matters. Nodes of the domain come before the store learns of it,
 * backends are started before the slow copying of the kernel so that both
 * happen at once, and the guest only runs when every backend is ready. Any
 * failure takes everything back.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "bulkhead/save.h"
#include "guest/guest.h"

static int map_ramdisk(const char *path, void **ret, size_t *ret_len,
		       struct bh_err *e)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	void *p;

	*ret = NULL;
	*ret_len = 0;
	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return bh_fail(e, -errno, "ramdisk %s: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode))
		return bh_fail(e, -EINVAL, "ramdisk %s: not a regular file",
			       path);
	if (st.st_size == 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return bh_fail(e, -errno, "ramdisk %s: %s", path,
			       strerror(errno));
	*ret = p;
	*ret_len = (size_t)st.st_size;
	return 0;
}

/* Writes all devices' nodes; the kernel's backends then start on their own. */
static int add_devices(struct guest *g, int *keep, struct bh_err *e)
{
	const struct bh_guest_cfg *c = g->cfg;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n_disks; i++)
		r = bh_vbd_add(g->xs, g->dom.domid, &c->disks[i], &keep[i], e);
	for (size_t i = 0; r == 0 && i < c->n_vifs; i++)
		r = bh_vif_add(g->xs, g->dom.domid, (uint32_t)i, &c->vifs[i],
			       e);
	return r;
}

static int wait_devices(struct guest *g, struct bh_err *e)
{
	const struct bh_guest_cfg *c = g->cfg;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n_vifs; i++)
		r = bh_vif_wait(g->xs, g->dom.domid, (uint32_t)i, &c->vifs[i],
				g->name, e);
	for (size_t i = 0; r == 0 && i < c->n_disks; i++)
		r = bh_vbd_wait(g->xs, g->dom.domid, &c->disks[i], e);
	return r;
}

static int introduce(struct guest *g, struct bh_err *e)
{
	int r = bh_xs_introduce(g->xs, g->dom.domid, g->dom.store_mfn,
				g->dom.store_port);

	if (r < 0)
		return bh_fail(e, r, "the store does not accept the domain: %s",
			       strerror(-r));
	return 0;
}

static int load_from_kernel(struct guest *g, struct bh_err *e)
{
	_cleanup_(bh_kernel_free_cleanup) struct bh_kernel *k = NULL;
	struct boot_files bf = {};
	void *initrd = NULL;
	size_t len = 0;
	int r;

	r = boot_files_get(g, &bf, e);
	if (r == 0)
		r = bh_kernel_load(bf.kernel, CACHE_DIR, &k, e);
	if (r == 0)
		r = map_ramdisk(bf.ramdisk, &initrd, &len, e);
	if (r == 0)
		r = bh_domain_load(g->hv, g->cfg, k, initrd, len, bf.cmdline,
				   &g->dom, e);
	if (initrd)
		munmap(initrd, len);
	boot_files_done(&bf);
	return r;
}

/* A saved guest to continue is named by state_dir/restore. */
static bool restore_path(struct guest *g, char *buf, size_t size)
{
	char link[192];
	ssize_t n;

	if (bh_snprintf(link, sizeof(link), "%s/restore", g->run_dir) < 0)
		return false;
	n = readlink(link, buf, size - 1);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return true;
}

static int fill_domain(struct guest *g, struct bh_err *e)
{
	char path[4096];
	int r;

	if (!restore_path(g, path, sizeof(path)))
		return load_from_kernel(g, e);
	r = bh_restore(g->hv, path, g->cfg, &g->dom, e);
	if (r == 0)
		bh_log(BH_INFO, "guest %s: restored from %s", g->name, path);
	return r;
}

static bool forget_restore(struct guest *g)
{
	char link[192];

	return bh_snprintf(link, sizeof(link), "%s/restore", g->run_dir) >= 0 &&
	       unlink(link) == 0;
}

static int mark_started(struct guest *g)
{
	char path[96];
	int r = bh_snprintf(path, sizeof(path),
			    "/local/domain/%u/bulkhead/started", g->dom.domid);

	return r < 0 ? r : bh_xs_write(g->xs, BH_XS_NONE, path, "1");
}

static int build(struct guest *g, int *keep, struct bh_err *e)
{
	int r;

	r = bh_domain_new(g->hv, g->cfg, &g->dom, e);
	if (r < 0)
		return r;
	g->have_dom = true;
	guest_set_phase(g, PHASE_BUILDING);
	r = fill_domain(g, e);
	if (r == 0)
		r = bh_store_domain_add(g->xs, g->cfg, &g->dom, e);
	if (r == 0)
		r = add_devices(g, keep, e);
	if (r == 0)
		r = introduce(g, e);
	if (r == 0)
		r = console_start(g, e);
	if (r == 0)
		r = wait_devices(g, e);
	if (r == 0)
		r = guest_watch(g, e);
	if (r < 0)
		return r;
	/* from here on a new supervisor would take the domain over */
	r = mark_started(g);
	if (r == 0)
		r = bh_hv_domain_unpause(g->hv, g->dom.domid);
	if (r < 0)
		return bh_fail(e, r, "cannot let the domain run: %s",
			       strerror(-r));
	return 0;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int guest_build(struct guest *g, struct bh_err *e)
{
	size_t n = g->cfg->n_disks;
	uint64_t t0 = bh_now_us();
	double cpu0 = cpu_seconds();
	int *keep, r;

	keep = malloc((n + 1) * sizeof(*keep));
	if (!keep)
		return bh_fail(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		keep[i] = -1;
	g->dom = (struct bh_domain){};
	g->ready = false;
	r = build(g, keep, e);
	/* blkback has them open now */
	for (size_t i = 0; i < n; i++)
		bh_close(keep[i]);
	free(keep);
	if (r < 0) {
		guest_teardown(g);
		return r;
	}
	g->boots++;
	g->started_us = bh_now_us();
	g->build_us = g->started_us - t0;
	guest_set_phase(g, PHASE_RUNNING);
	if (forget_restore(g)) /* it was up when it was saved */
		guest_mark_ready(g, "restored");
	bh_log(BH_INFO,
	       "guest %s runs as domain %u (%" PRIu64
	       " MiB, %u vCPUs); built in "
	       "%.3f s, %.3f s of processor",
	       g->name, g->dom.domid, g->cfg->memory_kib >> 10, g->cfg->vcpus,
	       (double)g->build_us / 1e6, cpu_seconds() - cpu0);
	return 0;
}

void guest_teardown(struct guest *g)
{
	struct xen_domctl_getdomaininfo info;
	int r;

	if (!g->have_dom)
		return;
	console_poll(g); /* its last words */
	console_flush_line(g);
	console_stop(g);
	if (g->w_ready)
		bh_xs_unwatch(g->xs, g->w_ready);
	if (g->w_release)
		bh_xs_unwatch(g->xs, g->w_release);
	g->w_ready = g->w_release = NULL;
	bh_hv_unmap(g->dom.console, 1);
	g->dom.console = NULL;
	/* stop it first, so that backends see no new requests */
	(void)bh_hv_domain_pause(g->hv, g->dom.domid);
	r = bh_hv_domain_destroy(g->hv, g->dom.domid);
	if (r < 0 && r != -ESRCH)
		bh_log_errno(BH_ERR, r, "cannot destroy domain %u",
			     g->dom.domid);
	(void)bh_store_domain_rm(g->xs, g->dom.domid);
	for (unsigned int i = 0; i < 200; i++) {
		if (bh_hv_domain_info(g->hv, g->dom.domid, &info) == -ESRCH)
			break;
		usleep(5000 + i * 500);
	}
	g->have_dom = false;
	g->ready = false;
}
