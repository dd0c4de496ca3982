/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bhctl list and info: what there is. Running domains are the hypervisor's
 * word; names come from the store; stopped guests from their files.
 */
#include "bhctl/bhctl.h"

#include <dirent.h>
#include <inttypes.h>

struct item {
	char *name;
	bool running;
	struct xen_domctl_getdomaininfo d;
	struct bh_guest_cfg *cfg;
};

struct items {
	struct item *v;
	size_t n, alloc;
};

const char *state_letters(uint32_t f, char buf[8])
{
	unsigned int why =
		f >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
	bool down = f & XEN_DOMINF_shutdown;

	buf[0] = f & XEN_DOMINF_running ? 'r' : '-';
	buf[1] = f & XEN_DOMINF_blocked ? 'b' : '-';
	buf[2] = f & XEN_DOMINF_paused ? 'p' : '-';
	buf[3] = down ? 's' : '-';
	buf[4] = down && why == SHUTDOWN_crash ? 'c' : '-';
	buf[5] = f & XEN_DOMINF_dying ? 'd' : '-';
	buf[6] = '\0';
	return buf;
}

static void items_done(struct items *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		bh_guest_cfg_free(l->v[i].cfg);
	}
	free(l->v);
}

static int add_running(struct ctl *c, struct items *l)
{
	_cleanup_free_ struct xen_domctl_getdomaininfo *d = NULL;
	size_t n;
	int r = bh_hv_domain_list(c->hv, &d, &n);

	if (r < 0)
		return fail(EX_FAIL, "cannot list domains: %s", strerror(-r));
	for (size_t i = 0; i < n; i++) {
		char *name = bh_store_domain_name(c->xs, d[i].domain);

		if (!name && d[i].domain == 0)
			name = strdup("Domain-0");
		if (!name)
			name = strdup(d[i].flags & XEN_DOMINF_dying
					      ? "(dying)"
					      : "(unnamed)");
		if (!name ||
		    bh_grow(&l->v, &l->alloc, l->n + 1, sizeof(*l->v)) < 0) {
			free(name);
			return fail(EX_FAIL, "out of memory");
		}
		l->v[l->n++] = (struct item){ .name = name,
					      .running = true,
					      .d = d[i] };
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int add_stopped(struct items *l)
{
	size_t running = l->n;
	struct dirent *de;
	DIR *dir = opendir(ETC_DIR);

	while (dir && (de = readdir(dir)) != NULL) {
		char name[256], path[300];
		bool known = false;

		if (!bh_endswith(de->d_name, ".cfg") ||
		    strlen(de->d_name) >= sizeof(name))
			continue;
		(void)snprintf(name, sizeof(name), "%.*s",
			       (int)strlen(de->d_name) - 4, de->d_name);
		if (!bh_name_valid(name))
			continue;
		for (size_t i = 0; i < running; i++)
			known |= streq(l->v[i].name, name);
		if (known ||
		    bh_grow(&l->v, &l->alloc, l->n + 1, sizeof(*l->v)) < 0)
			continue;
		l->v[l->n] = (struct item){ .name = strdup(name) };
		if (!l->v[l->n].name)
			continue;
		(void)snprintf(path, sizeof(path), ETC_DIR "/%s", de->d_name);
		(void)bh_guest_cfg_load(path, name, NULL, NULL, &l->v[l->n].cfg,
					NULL);
		l->n++;
	}
	if (dir)
		closedir(dir);
	if (l->n > running)
		qsort(l->v + running, l->n - running, sizeof(*l->v), by_name);
	return 0;
}

static struct json_object *item_json(const struct item *it)
{
	struct json_object *o = json_object_new_object();
	char st[8], uuid[37];

#define S(k, v) json_object_object_add(o, k, json_object_new_string(v))
#define N(k, v) \
	json_object_object_add(o, k, json_object_new_int64((int64_t)(v)))
	S("name", it->name);
	json_object_object_add(o, "running",
			       json_object_new_boolean(it->running));
	json_object_object_add(
		o, "autostart",
		json_object_new_boolean(unit_is_enabled(it->name)));
	if (it->running) {
		N("id", it->d.domain);
		N("memory_mib", it->d.tot_pages >> 8);
		N("memory_pages", it->d.tot_pages);
		N("max_pages", it->d.max_pages);
		N("vcpus", it->d.nr_online_vcpus);
		N("max_vcpus", it->d.max_vcpu_id + 1);
		S("state", state_letters(it->d.flags, st));
		json_object_object_add(
			o, "cpu_seconds",
			json_object_new_double((double)it->d.cpu_time / 1e9));
		bh_uuid_format(it->d.handle, uuid);
		S("uuid", uuid);
	} else {
		S("state", it->cfg ? "stopped" : "broken");
		if (it->cfg) {
			N("memory_mib", it->cfg->memory_kib >> 10);
			N("vcpus", it->cfg->vcpus);
		}
	}
#undef S
#undef N
	return o;
}

static void print_item(const struct item *it)
{
	char st[8];

	if (it->running)
		printf("%-40s %5u %5" PRIu64 " %5u     %s %8.1f\n", it->name,
		       it->d.domain, it->d.tot_pages >> 8,
		       it->d.nr_online_vcpus, state_letters(it->d.flags, st),
		       (double)it->d.cpu_time / 1e9);
	else if (it->cfg)
		printf("%-40s %5s %5" PRIu64 " %5u     %s %8s\n", it->name, "-",
		       it->cfg->memory_kib >> 10, it->cfg->vcpus, "stopped",
		       "-");
	else
		printf("%-40s %5s %5s %5s     %s %8s\n", it->name, "-", "-",
		       "-", "broken ", "-");
}

int cmd_list(struct ctl *c)
{
	struct json_object *doc = NULL, *arr = NULL;
	struct items l = {};
	bool any = false;
	int r = need_hv(c);

	if (r == 0)
		r = need_xs(c);
	if (r == 0)
		r = add_running(c, &l);
	if (r == 0)
		r = add_stopped(&l);
	if (r == 0 && c->json) {
		doc = json_doc();
		arr = json_object_new_array();
		json_object_object_add(doc, "guests", arr);
	} else if (r == 0) {
		printf("%-40s %5s %5s %5s\t%5s\t%s\n", "Name", "ID", "Mem",
		       "VCPUs", "State", "Time(s)");
	}
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "%u", l.v[i].d.domain);
		if (c->argc && !streq(c->argv[0], l.v[i].name) &&
		    !(l.v[i].running && streq(c->argv[0], id)))
			continue;
		any = true;
		if (c->json)
			json_object_array_add(arr, item_json(&l.v[i]));
		else
			print_item(&l.v[i]);
	}
	items_done(&l);
	if (r == 0 && c->argc && !any) {
		json_object_put(doc);
		return fail(EX_NO_GUEST, "there is no guest %s", c->argv[0]);
	}
	if (doc)
		print_json(doc);
	return r;
}

/* ---- info -------------------------------------------------------------- */

static int host_info(struct ctl *c)
{
	struct json_object *o;
	struct xen_sysctl_physinfo p;
	char ver[128] = "?", caps[1100] = "";
	uint32_t sched = 0;
	int r = need_hv(c);

	if (r)
		return r;
	r = bh_hv_physinfo(c->hv, &p);
	if (r < 0)
		return fail(EX_FAIL, "the hypervisor does not answer: %s",
			    strerror(-r));
	if (bh_hv_version(c->hv, ver, sizeof(ver)) < 0 ||
	    bh_hv_capabilities(c->hv, caps, sizeof(caps)) < 0 ||
	    bh_hv_sched_id(c->hv, &sched) < 0)
		return fail(EX_FAIL, "the hypervisor does not say its version");
	if (!c->json) {
		printf("hypervisor             : %s\n"
		       "nr_cpus                : %u\n"
		       "nr_nodes               : %u\n"
		       "cores_per_socket       : %u\n"
		       "threads_per_core       : %u\n"
		       "cpu_mhz                : %u.%03u\n"
		       "total_memory           : %" PRIu64 "\n"
		       "free_memory            : %" PRIu64 "\n"
		       "xen_caps               : %s\n"
		       "scheduler              : %s\n",
		       ver, p.nr_cpus, p.nr_nodes, p.cores_per_socket,
		       p.threads_per_core, p.cpu_khz / 1000, p.cpu_khz % 1000,
		       p.total_pages >> 8, p.free_pages >> 8, caps,
		       sched == XEN_SCHEDULER_CREDIT2  ? "credit2"
		       : sched == XEN_SCHEDULER_CREDIT ? "credit"
						       : "other");
		return 0;
	}
	o = json_doc();
#define N(k, v) \
	json_object_object_add(o, k, json_object_new_int64((int64_t)(v)))
	json_object_object_add(o, "hypervisor", json_object_new_string(ver));
	N("cpus", p.nr_cpus);
	N("nodes", p.nr_nodes);
	N("cpu_khz", p.cpu_khz);
	N("total_pages", p.total_pages);
	N("free_pages", p.free_pages);
	N("scrub_pages", p.scrub_pages);
	N("total_mib", p.total_pages >> 8);
	N("free_mib", p.free_pages >> 8);
#undef N
	json_object_object_add(o, "capabilities", json_object_new_string(caps));
	print_json(o);
	return 0;
}

static void info_running(struct ctl *c, struct json_object *o, uint32_t id)
{
	struct xen_domctl_getdomaininfo d;
	uint32_t w, cap;
	char st[8], uuid[37];

	if (bh_hv_domain_info(c->hv, id, &d) < 0)
		return;
#define S(k, v) json_object_object_add(o, k, json_object_new_string(v))
#define N(k, v) \
	json_object_object_add(o, k, json_object_new_int64((int64_t)(v)))
	N("id", id);
	bh_uuid_format(d.handle, uuid);
	S("uuid", uuid);
	S("state", state_letters(d.flags, st));
	N("memory_pages", d.tot_pages);
	N("memory_mib", d.tot_pages >> 8);
	N("max_memory_mib", d.max_pages >> 8);
	N("vcpus", d.nr_online_vcpus);
	N("max_vcpus", d.max_vcpu_id + 1);
	json_object_object_add(
		o, "cpu_seconds",
		json_object_new_double((double)d.cpu_time / 1e9));
	if (bh_hv_sched_get(c->hv, id, &w, &cap) == 0) {
		N("weight", w);
		N("cap", cap);
	}
	if (d.flags & XEN_DOMINF_shutdown)
		N("shutdown_reason", d.flags >> XEN_DOMINF_shutdownshift &
					     XEN_DOMINF_shutdownmask);
#undef S
#undef N
}

int cmd_info(struct ctl *c)
{
	struct json_object *o, *st;
	const char *name;
	uint32_t id;
	int r;

	if (!c->argc)
		return host_info(c);
	name = c->argv[0];
	r = need_hv(c);
	if (r == 0)
		r = need_xs(c);
	if (r)
		return r;
	o = json_doc();
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "autostart",
			       json_object_new_boolean(unit_is_enabled(name)));
	r = bh_store_find(c->xs, c->hv, name, &id);
	json_object_object_add(o, "running", json_object_new_boolean(r == 0));
	if (r == 0) {
		info_running(c, o, id);
	} else {
		char path[160];

		if (!bh_name_valid(name) ||
		    bh_snprintf(path, sizeof(path), ETC_DIR "/%s.cfg", name) <
			    0 ||
		    access(path, F_OK) < 0) {
			json_object_put(o);
			return fail(EX_NO_GUEST, "there is no guest %s", name);
		}
		json_object_object_add(o, "config",
				       json_object_new_string(path));
	}
	st = control_status(name);
	if (st) {
		json_object_object_del(st, "ok");
		json_object_object_add(o, "supervisor", st);
	}
	if (c->json) {
		print_json(o);
		return 0;
	}
	json_object_object_foreach(o, k, v)
	{
		if (streq(k, "schema") || streq(k, "supervisor"))
			continue;
		printf("%-16s: %s\n", k, json_object_get_string(v));
	}
	if (st) {
		json_object_object_foreach(st, k2, v2)
		{
			if (!json_object_object_get_ex(o, k2, NULL))
				printf("%-16s: %s\n", k2,
				       json_object_get_string(v2));
		}
	} else {
		printf("%-16s: %s\n", "phase",
		       r == 0 ? "unsupervised" : "stopped");
	}
	json_object_put(o);
	return 0;
}
