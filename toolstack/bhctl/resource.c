/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory and processors of running guests.
 *
 * What the guest must do itself (balloon, take a processor offline) is asked
 * through the store; --wait sees whether it did. Limits and placement are the
 * hypervisor's and take effect at once.
 */
#include "bhctl/bhctl.h"

#include <ctype.h>
#include <inttypes.h>

/* "512", "512M", "1G", "2048k": MiB without a unit. */
static int parse_size(const char *s, uint64_t *ret_kib)
{
	char *end;
	uint64_t n;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || n == 0 || n > 1ull << 34)
		return -EINVAL;
	switch (tolower((unsigned char)*end)) {
	case 'k':
		end++;
		break;
	case 'g':
		n <<= 20;
		end++;
		break;
	case 'm':
		end++;
		/* fall through */
	case '\0':
		n <<= 10;
		break;
	default:
		return -EINVAL;
	}
	if (*end == 'b' || *end == 'B')
		end++;
	if (*end || n < 1024)
		return -EINVAL;
	*ret_kib = n;
	return 0;
}

static int bad_size(const char *s)
{
	return fail(EX_USAGE_ERR, "'%s': expected a size such as 512M or 2G",
		    s);
}

static int set_u64(struct ctl *c, uint32_t id, const char *node, uint64_t v)
{
	char path[128];
	int r = bh_snprintf(path, sizeof(path), "/local/domain/%u/%s", id,
			    node);

	return r < 0 ? r : bh_xs_writef(c->xs, BH_XS_NONE, path, "%" PRIu64, v);
}

static int wait_pages(struct ctl *c, uint32_t id, uint64_t kib)
{
	uint64_t end =
		bh_now_us() + (c->timeout ? c->timeout : 60) * 1000000ull;
	struct xen_domctl_getdomaininfo d = {};

	while (bh_now_us() < end) {
		uint64_t have;

		if (bh_hv_domain_info(c->hv, id, &d) < 0)
			return fail(EX_STATE, "the guest is gone");
		have = d.tot_pages * 4;
		if (have > kib ? have - kib <= 1024 : kib - have <= 1024)
			return 0;
		usleep(50000);
	}
	return fail(EX_TIMEOUT, "the guest has %" PRIu64 " MiB, not %" PRIu64,
		    (uint64_t)d.tot_pages >> 8, kib >> 10);
}

int cmd_mem_set(struct ctl *c)
{
	struct xen_domctl_getdomaininfo d;
	char path[128];
	uint64_t kib, max;
	uint32_t id;
	int r;

	if (parse_size(c->argv[1], &kib) < 0)
		return bad_size(c->argv[1]);
	r = need_guest(c, c->argv[0], &id);
	if (r)
		return r;
	r = bh_snprintf(path, sizeof(path),
			"/local/domain/%u/memory/static-max", id);
	if (r < 0 || bh_xs_read_u64(c->xs, BH_XS_NONE, path, &max) < 0)
		max = UINT64_MAX;
	if (id && kib > max)
		return fail(EX_FAIL,
			    "guest %s may have at most %" PRIu64
			    " MiB (maxmem in its configuration)",
			    c->argv[0], max >> 10);
	r = bh_hv_domain_info(c->hv, id, &d);
	if (r < 0)
		return fail(EX_FAIL, "guest %s: %s", c->argv[0], strerror(-r));
	if (kib > d.tot_pages * 4) {
		struct xen_sysctl_physinfo p;

		if (bh_hv_physinfo(c->hv, &p) == 0 &&
		    (kib / 4 - d.tot_pages) > p.free_pages)
			return fail(EX_FAIL, "only %" PRIu64 " MiB are free",
				    (uint64_t)p.free_pages >> 8);
	}
	/* up: the limit first; down: the hypervisor then holds it to that */
	r = bh_hv_domain_set_max_mem(c->hv, id, kib + 1024);
	if (r == 0)
		r = set_u64(c, id, "memory/target", kib);
	if (r < 0)
		return fail(EX_FAIL, "guest %s: %s", c->argv[0], strerror(-r));
	return c->wait ? wait_pages(c, id, kib) : 0;
}

int cmd_mem_max(struct ctl *c)
{
	uint64_t kib;
	uint32_t id;
	int r;

	if (parse_size(c->argv[1], &kib) < 0)
		return bad_size(c->argv[1]);
	r = need_guest(c, c->argv[0], &id);
	if (r)
		return r;
	r = bh_hv_domain_set_max_mem(c->hv, id, kib + 1024);
	if (r == 0)
		r = set_u64(c, id, "memory/static-max", kib);
	return r < 0 ? fail(EX_FAIL, "guest %s: %s", c->argv[0], strerror(-r))
		     : 0;
}

/* ---- processors -------------------------------------------------------- */

static bool is_everywhere(struct ctl *c, const struct bh_cpumap *m)
{
	struct xen_sysctl_physinfo p;

	if (bh_hv_physinfo(c->hv, &p) < 0)
		return false;
	for (uint32_t i = 0; i <= p.max_cpu_id && i < BH_CPUMAP_BYTES * 8; i++)
		if (!(m->bits[i / 8] & 1u << (i & 7)))
			return false;
	return true;
}

static void vcpu_line(struct ctl *c, struct json_object *arr, const char *name,
		      uint32_t id, uint32_t v)
{
	struct xen_domctl_getvcpuinfo i;
	struct bh_cpumap hard, soft;
	char h[256] = "?", s[256] = "?", cpu[16] = "-", st[4] = "---";
	struct json_object *o;

	if (bh_hv_vcpu_info(c->hv, id, v, &i) < 0 ||
	    bh_hv_vcpu_get_affinity(c->hv, id, v, &hard, &soft) < 0)
		return;
	hard.any = is_everywhere(c, &hard);
	soft.any = is_everywhere(c, &soft);
	if (bh_cpumap_format(&hard, h, sizeof(h)) < 0 ||
	    bh_cpumap_format(&soft, s, sizeof(s)) < 0)
		return;
	if (i.online) {
		(void)snprintf(cpu, sizeof(cpu), "%u", i.cpu);
		st[0] = i.running ? 'r' : '-';
		st[1] = i.blocked ? 'b' : '-';
	} else {
		st[2] = 'p';
	}
	if (!arr) {
		printf("%-32s %5u %5u %5s   %s  %9.1f  %s / %s\n", name, id, v,
		       cpu, st, (double)i.cpu_time / 1e9, h, s);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "guest", json_object_new_string(name));
	json_object_object_add(o, "id", json_object_new_int((int)id));
	json_object_object_add(o, "vcpu", json_object_new_int((int)v));
	json_object_object_add(o, "online", json_object_new_boolean(i.online));
	if (i.online)
		json_object_object_add(o, "cpu",
				       json_object_new_int((int)i.cpu));
	json_object_object_add(o, "state", json_object_new_string(st));
	json_object_object_add(
		o, "cpu_seconds",
		json_object_new_double((double)i.cpu_time / 1e9));
	json_object_object_add(o, "hard_affinity", json_object_new_string(h));
	json_object_object_add(o, "soft_affinity", json_object_new_string(s));
	json_object_array_add(arr, o);
}

int cmd_vcpu_list(struct ctl *c)
{
	_cleanup_free_ struct xen_domctl_getdomaininfo *d = NULL;
	struct json_object *doc = NULL, *arr = NULL;
	uint32_t only = UINT32_MAX;
	size_t n;
	int r = need_hv(c);

	if (r == 0)
		r = c->argc ? need_guest(c, c->argv[0], &only) : need_xs(c);
	if (r)
		return r;
	r = bh_hv_domain_list(c->hv, &d, &n);
	if (r < 0)
		return fail(EX_FAIL, "cannot list domains: %s", strerror(-r));
	if (c->json) {
		doc = json_doc();
		arr = json_object_new_array();
		json_object_object_add(doc, "vcpus", arr);
	} else {
		printf("%-32s %5s %5s %5s %5s %9s %s\n", "Name", "ID", "VCPU",
		       "CPU", "State", "Time(s)", "Affinity (Hard / Soft)");
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *name = NULL;

		if (only != UINT32_MAX && d[i].domain != only)
			continue;
		name = bh_store_domain_name(c->xs, d[i].domain);
		for (uint32_t v = 0;
		     d[i].max_vcpu_id != XEN_INVALID_MAX_VCPU_ID &&
		     v <= d[i].max_vcpu_id;
		     v++)
			vcpu_line(c, arr,
				  name          ? name
				  : d[i].domain ? "(unnamed)"
						: "Domain-0",
				  d[i].domain, v);
	}
	if (doc)
		print_json(doc);
	return 0;
}

int cmd_vcpu_set(struct ctl *c)
{
	struct xen_domctl_getdomaininfo d;
	uint32_t id, n;
	int r = need_guest(c, c->argv[0], &id);

	if (r)
		return r;
	r = bh_hv_domain_info(c->hv, id, &d);
	if (r < 0)
		return fail(EX_FAIL, "guest %s: %s", c->argv[0], strerror(-r));
	if (bh_parse_u32(c->argv[1], &n) < 0 || n < 1 || n > d.max_vcpu_id + 1)
		return fail(EX_USAGE_ERR,
			    "'%s': expected 1 to %u (maxvcpus of %s)",
			    c->argv[1], d.max_vcpu_id + 1, c->argv[0]);
	for (uint32_t v = 0; v <= d.max_vcpu_id; v++) {
		char path[96];

		r = bh_snprintf(path, sizeof(path),
				"/local/domain/%u/cpu/%u/availability", id, v);
		if (r >= 0)
			r = bh_xs_write(c->xs, BH_XS_NONE, path,
					v < n ? "online" : "offline");
		if (r < 0)
			return fail(EX_FAIL, "guest %s: %s", c->argv[0],
				    strerror(-r));
	}
	for (uint64_t end =
		     bh_now_us() + (c->timeout ? c->timeout : 60) * 1000000ull;
	     c->wait; usleep(50000)) {
		if (bh_hv_domain_info(c->hv, id, &d) < 0)
			return fail(EX_STATE, "the guest is gone");
		if (d.nr_online_vcpus == n)
			break;
		if (bh_now_us() > end)
			return fail(EX_TIMEOUT,
				    "guest %s has %u processors online, not %u",
				    c->argv[0], d.nr_online_vcpus, n);
	}
	return 0;
}

int cmd_vcpu_pin(struct ctl *c)
{
	struct xen_domctl_getdomaininfo d;
	struct bh_cpumap m;
	uint32_t id, first = 0, last;
	int r = need_guest(c, c->argv[0], &id);

	if (r)
		return r;
	r = bh_hv_domain_info(c->hv, id, &d);
	if (r < 0)
		return fail(EX_FAIL, "guest %s: %s", c->argv[0], strerror(-r));
	last = d.max_vcpu_id;
	if (!streq(c->argv[1], "all")) {
		if (bh_parse_u32(c->argv[1], &first) < 0 || first > last)
			return fail(
				EX_USAGE_ERR,
				"'%s': expected a vCPU from 0 to %u, or all",
				c->argv[1], last);
		last = first;
	}
	if (bh_cpumap_parse(c->argv[2], &m) < 0)
		return fail(EX_USAGE_ERR,
			    "'%s': expected processors such as 0-3,^2 or all",
			    c->argv[2]);
	for (uint32_t v = first; v <= last; v++) {
		r = bh_hv_vcpu_set_affinity(c->hv, id, v, c->soft, &m);
		if (r < 0)
			return fail(EX_FAIL, "cannot pin vCPU %u to %s: %s", v,
				    c->argv[2],
				    r == -EINVAL ? "no such processor"
						 : strerror(-r));
	}
	return 0;
}

/* ---- weights and caps -------------------------------------------------- */

int cmd_sched(struct ctl *c)
{
	_cleanup_free_ struct xen_domctl_getdomaininfo *d = NULL;
	struct json_object *doc = NULL, *arr = NULL;
	uint32_t id = UINT32_MAX, w, cap;
	bool set = c->weight || c->cap != UINT32_MAX;
	size_t n;
	int r = need_hv(c);

	if (r == 0)
		r = c->argc ? need_guest(c, c->argv[0], &id) : need_xs(c);
	if (r)
		return r;
	if (set && !c->argc)
		return fail(EX_USAGE_ERR, "--weight and --cap need a guest");
	if (set) {
		r = bh_hv_sched_set(c->hv, id, c->weight, c->cap);
		return r < 0 ? fail(EX_FAIL, "guest %s: %s", c->argv[0],
				    strerror(-r))
			     : 0;
	}
	r = bh_hv_domain_list(c->hv, &d, &n);
	if (r < 0)
		return fail(EX_FAIL, "cannot list domains: %s", strerror(-r));
	if (c->json) {
		doc = json_doc();
		arr = json_object_new_array();
		json_object_object_add(doc, "guests", arr);
	} else {
		printf("%-33s %4s %6s %4s\n", "Name", "ID", "Weight", "Cap");
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *name = NULL;
		struct json_object *o;

		if (id != UINT32_MAX && d[i].domain != id)
			continue;
		if (bh_hv_sched_get(c->hv, d[i].domain, &w, &cap) < 0)
			continue;
		name = bh_store_domain_name(c->xs, d[i].domain);
		if (!arr) {
			printf("%-33s %4u %6u %4u\n", name ? name : "-",
			       d[i].domain, w, cap);
			continue;
		}
		o = json_object_new_object();
		json_object_object_add(
			o, "name", json_object_new_string(name ? name : ""));
		json_object_object_add(o, "id",
				       json_object_new_int(d[i].domain));
		json_object_object_add(o, "weight",
				       json_object_new_int((int)w));
		json_object_object_add(o, "cap", json_object_new_int((int)cap));
		json_object_array_add(arr, o);
	}
	if (doc)
		print_json(doc);
	return 0;
}
