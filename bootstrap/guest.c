/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See guest.h. */
#define _GNU_SOURCE
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>
#include <time.h>

#include "initrd.h"
#include "names.h"

void guest_done(struct guest *g)
{
	free(g->name);
	free(g->hostname);
	free(g->uuid);
	free(g->vg);
	free(g->template);
	free(g->boot);
	free(g->fstype);
	free(g->created);
	free(g->kernel);
	free(g->ramdisk);
	free(g->extra);
	free(g->network);
	free(g->more);
	for (size_t i = 0; i < g->n_nics; i++)
		nic_done(&g->nics[i]);
	memset(g, 0, sizeof(*g));
}

char *guest_cfg_path(const char *name)
{
	return etc_path("guests/%s.cfg", name);
}

char *guest_meta_path(const char *name)
{
	return state_path("guests/%s.json", name);
}

bool guest_exists(const char *name)
{
	_cleanup_free_ char *p = guest_cfg_path(name);

	return p && access(p, F_OK) == 0;
}

char *guest_owner_tag(const char *name)
{
	return bh_asprintf(TAG_GUEST "%s", name);
}

char *time_now_text(void)
{
	time_t t = time(NULL);
	struct tm tm;
	char buf[32];

	gmtime_r(&t, &tm);
	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return strdup(buf);
}

int guest_tags(const struct guest *g, const char *role, struct strv *ret)
{
	if (strv_addf(ret, TAG_GUEST "%s", g->name) < 0 ||
	    strv_addf(ret, TAG_ROLE "%s", role) < 0)
		return oom();
	return 0;
}

static void put(json_object *o, const char *key, const char *v)
{
	if (v)
		json_object_object_add(o, key, json_object_new_string(v));
}

static json_object *nic_json(const struct nic *n)
{
	json_object *o = json_object_new_object();
	json_object *dns = json_object_new_array();

	put(o, "bridge", n->bridge);
	put(o, "mac", n->mac);
	put(o, "ip4", n->ip4);
	put(o, "gateway4", n->gw4);
	put(o, "ip6", n->ip6);
	put(o, "gateway6", n->gw6);
	json_object_object_add(o, "dhcp", json_object_new_boolean(n->dhcp));
	json_object_object_add(o, "none", json_object_new_boolean(n->none));
	json_object_object_add(o, "vlan", json_object_new_int((int)n->vlan));
	for (size_t i = 0; i < n->dns.n; i++)
		json_object_array_add(dns, json_object_new_string(n->dns.v[i]));
	json_object_object_add(o, "dns", dns);
	return o;
}

char *guest_to_json(const struct guest *g)
{
	json_object *o = json_object_new_object();
	json_object *nics = json_object_new_array();
	char *text;

	json_object_object_add(o, "schema", json_object_new_int(1));
	put(o, "name", g->name);
	put(o, "hostname", g->hostname);
	put(o, "uuid", g->uuid);
	put(o, "vg", g->vg);
	put(o, "template", g->template);
	put(o, "boot", g->boot);
	put(o, "fstype", g->fstype);
	put(o, "created", g->created);
	put(o, "kernel", g->kernel);
	put(o, "ramdisk", g->ramdisk);
	put(o, "extra", g->extra);
	put(o, "network", g->network);
	json_object_object_add(o, "memory",
			       json_object_new_int64((int64_t)g->memory));
	json_object_object_add(o, "disk",
			       json_object_new_int64((int64_t)g->disk));
	json_object_object_add(o, "swap",
			       json_object_new_int64((int64_t)g->swap));
	json_object_object_add(o, "vcpus", json_object_new_int((int)g->vcpus));
	json_object_object_add(o, "thin", json_object_new_boolean(g->thin));
	for (size_t i = 0; i < g->n_nics; i++)
		json_object_array_add(nics, nic_json(&g->nics[i]));
	json_object_object_add(o, "nics", nics);
	text = bh_asprintf("%s\n",
			   json_object_to_json_string_ext(
				   o, JSON_C_TO_STRING_PRETTY |
					      JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}

static char *get_without(json_object *o, const char *key, const char *bad)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !v)
		return NULL;
	if (strpbrk(json_object_get_string(v), bad))
		return NULL;
	return strdup(json_object_get_string(v));
}

/* These end up between quotes in a .cfg; an import is not trusted. */
static char *get(json_object *o, const char *key)
{
	return get_without(o, key, "\"'\\\n\r");
}

static int64_t get_num(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v)
						     : 0;
}

static void parse_nic(json_object *o, struct nic *n)
{
	json_object *dns;

	n->bridge = get(o, "bridge");
	n->mac = get(o, "mac");
	n->ip4 = get(o, "ip4");
	n->gw4 = get(o, "gateway4");
	n->ip6 = get(o, "ip6");
	n->gw6 = get(o, "gateway6");
	n->dhcp = get_num(o, "dhcp");
	n->none = get_num(o, "none");
	n->vlan = (unsigned int)get_num(o, "vlan");
	if (!json_object_object_get_ex(o, "dns", &dns) ||
	    !json_object_is_type(dns, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(dns); i++) {
		const char *s = json_object_get_string(
			json_object_array_get_idx(dns, i));

		if (s)
			(void)strv_add(&n->dns, s);
	}
}

int guest_parse(const char *json, struct guest *g)
{
	json_object *o = json_tokener_parse(json), *nics;

	if (!o || json_object_get_type(o) != json_type_object) {
		json_object_put(o);
		return -EINVAL;
	}
	memset(g, 0, sizeof(*g));
	g->name = get(o, "name");
	g->hostname = get(o, "hostname");
	g->uuid = get(o, "uuid");
	g->vg = get(o, "vg");
	g->template = get(o, "template");
	g->boot = get(o, "boot");
	g->fstype = get(o, "fstype");
	g->created = get(o, "created");
	g->kernel = get(o, "kernel");
	g->ramdisk = get(o, "ramdisk");
	g->network = get(o, "network");
	/* A command line may have quotes: guest_to_cfg() writes it with care. */
	g->extra = get_without(o, "extra", "\n\r");
	g->memory = (uint64_t)get_num(o, "memory");
	g->disk = (uint64_t)get_num(o, "disk");
	g->swap = (uint64_t)get_num(o, "swap");
	g->vcpus = (unsigned int)get_num(o, "vcpus");
	g->thin = get_num(o, "thin");
	if (json_object_object_get_ex(o, "nics", &nics) &&
	    json_object_is_type(nics, json_type_array))
		for (size_t i = 0;
		     i < json_object_array_length(nics) && g->n_nics < MAX_NICS;
		     i++)
			parse_nic(json_object_array_get_idx(nics, i),
				  &g->nics[g->n_nics++]);
	json_object_put(o);
	if (!g->name || !g->vg || !g->boot) {
		guest_done(g);
		return -EINVAL;
	}
	return 0;
}

static int check_nic(const struct nic *n)
{
	struct nic c = { 0 };
	int r = n->bridge ? nic_set(&c, "bridge", n->bridge) : 0;

	if (r >= 0)
		r = n->mac ? nic_set(&c, "mac", n->mac) : -VMB_SOURCE;
	if (r >= 0 && n->ip4)
		r = nic_set(&c, "ip", n->ip4);
	if (r >= 0 && n->ip6)
		r = nic_set(&c, "ip6", n->ip6);
	if (r >= 0 && n->gw4)
		r = nic_set(&c, "gateway", n->gw4);
	if (r >= 0 && n->gw6)
		r = nic_set(&c, "gateway", n->gw6);
	for (size_t i = 0; r >= 0 && i < n->dns.n; i++)
		r = nic_set(&c, "dns", n->dns.v[i]);
	nic_done(&c);
	return n->vlan > 4094 ? -VMB_SOURCE : r;
}

/* What guest_choose_kernel() may have chosen, here or on a host like this. */
static bool is_for_guests(const char *path)
{
	static const char *const dirs[] = { "/usr/lib/bulkhead/kernels/",
					    "/usr/lib/grub-xen/",
					    "/boot/vmlinuz-" };
	_cleanup_free_ char *initrds = state_path("initrd/");

	if (strstr(path, "..") || !initrds)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (bh_startswith(path, dirs[i]))
			return true;
	return bh_startswith(path, initrds);
}

int guest_check_foreign(struct guest *g)
{
	int r = 0;

	if (!streq(g->boot, "host") && !streq(g->boot, "disk") &&
	    !streq(g->boot, "pvgrub"))
		return fail(VMB_SOURCE, "boot mode \"%s\" is not known",
			    g->boot);
	if (!g->vcpus || g->vcpus > 128 || g->memory < 8ull << 20)
		return fail(VMB_SOURCE, "a guest of %u vcpus and %s of memory",
			    g->vcpus, fmt_size(g->memory));
	if (!g->uuid || strlen(g->uuid) != 36 ||
	    strspn(g->uuid, "0123456789abcdefABCDEF-") != 36)
		return fail(VMB_SOURCE, "uuid \"%s\" is none",
			    g->uuid ? g->uuid : "");
	if (g->hostname)
		r = name_check_hostname(g->hostname);
	for (size_t i = 0; r >= 0 && i < g->n_nics; i++)
		r = check_nic(&g->nics[i]);
	if (r < 0)
		return r;
	if (streq(g->boot, "disk") ||
	    (g->kernel && !is_for_guests(g->kernel)) ||
	    (g->ramdisk && !is_for_guests(g->ramdisk))) {
		free(g->kernel);
		free(g->ramdisk);
		g->kernel = g->ramdisk = NULL;
	}
	return 0;
}

int guest_load(const char *name, struct guest *ret)
{
	_cleanup_free_ char *path = guest_meta_path(name);
	_cleanup_free_ char *text = NULL;
	int r;

	if (!path)
		return oom();
	r = bh_read_file(path, 1 << 20, &text, NULL);
	if (r == -ENOENT && guest_exists(name))
		return fail(
			VMB_CONFLICT,
			"guest %s was not made by vm-bootstrap; its volumes are left alone",
			name);
	if (r == -ENOENT)
		return fail(
			VMB_MISSING,
			"there is no guest \"%s\"; \"vm-bootstrap list\" shows those there are",
			name);
	if (r < 0)
		return fail(VMB_FAILED, "cannot read %s: %s", path,
			    strerror(-r));
	if (guest_parse(text, ret) < 0)
		return fail(VMB_FAILED, "%s is damaged (not a guest's JSON)",
			    path);
	return 0;
}

int guest_names(struct strv *ret)
{
	_cleanup_free_ char *dir = state_path("guests");
	struct dirent **list = NULL;
	int n = dir ? scandir(dir, &list, NULL, alphasort) : -1;

	for (int i = 0; i < n; i++) {
		char *name = list[i]->d_name;

		if (*name != '.' && bh_endswith(name, ".json")) {
			name[strlen(name) - 5] = 0;
			(void)strv_add(ret, name);
		}
		free(list[i]);
	}
	free(list);
	return 0;
}

bool guest_mac_taken(const char *mac, const char *except)
{
	_cleanup_strv_ struct strv names = { 0 };

	(void)guest_names(&names);
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *path = guest_meta_path(names.v[i]);
		_cleanup_free_ char *text = NULL;

		if (!streq(names.v[i], except) && path &&
		    bh_read_file(path, 1 << 20, &text, NULL) >= 0 &&
		    strstr(text, mac))
			return true;
	}
	return false;
}

static bool has_key(const char *lines, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = lines; p && *p; p = strchrnul(p, '\n') + 1) {
		if (!strncmp(p, key, n) && bh_startswith(p + n, " = "))
			return true;
		if (!strchr(p, '\n'))
			break;
	}
	return false;
}

char *guest_to_cfg(const struct guest *g)
{
	_cleanup_buf_ struct buf b = { 0 };

	buf_addf(&b,
		 "# Guest %s, made by vm-bootstrap from %s at %s.\n"
		 "# xl.cfg syntax; this file is yours to edit.\n"
		 "name = \"%s\"\nuuid = \"%s\"\nmemory = %llu\nvcpus = %u\n\n",
		 g->name, g->template ? g->template : "?", g->created, g->name,
		 g->uuid, (unsigned long long)(g->memory >> 20), g->vcpus);
	if (streq(g->boot, "disk")) {
		buf_addf(&b, "# The guest's own kernel, from its own disk.\n"
			     "bootloader = \"bootread\"\n");
	} else {
		buf_addf(&b, "kernel = \"%s\"\n", g->kernel);
		if (g->ramdisk)
			buf_addf(&b, "ramdisk = \"%s\"\n", g->ramdisk);
	}
	if (streq(g->boot, "host") && !has_key(g->more, "root"))
		buf_addf(&b, "root = \"/dev/xvda rw\"\n");
	if (g->extra && *g->extra) {
		buf_addf(&b, "extra = ");
		guest_cfg_quote(&b, g->extra);
		buf_addf(&b, "\n");
	}
	buf_addf(&b, "\ndisk = [ 'phy:/dev/%s/%s-root,xvda,w'", g->vg, g->name);
	if (g->swap)
		buf_addf(&b, ",\n         'phy:/dev/%s/%s-swap,xvdb,w'", g->vg,
			 g->name);
	buf_addf(&b, " ]\nvif = [");
	for (size_t i = 0; i < g->n_nics; i++)
		buf_addf(&b, "%s 'mac=%s,bridge=%s%s%s'", i ? ",\n       " : "",
			 g->nics[i].mac, g->nics[i].bridge,
			 g->nics[i].more ? "," : "",
			 g->nics[i].more ? g->nics[i].more : "");
	if (g->more)
		buf_addf(&b, " ]\n\n%s", g->more);
	else
		buf_addf(
			&b,
			" ]\n\non_poweroff = \"destroy\"\non_reboot = \"restart\"\n"
			"on_crash = \"restart\"\n");
	return TAKE_PTR(b.s);
}

static int newest_domu(struct guest *g)
{
	static const char dir[] = "/usr/lib/bulkhead/kernels";
	struct dirent **list = NULL;
	int n = scandir(dir, &list, NULL, versionsort);

	for (int i = n - 1; i >= 0; i--) {
		_cleanup_free_ char *k =
			bh_asprintf("%s/%s/vmlinuz", dir, list[i]->d_name);
		_cleanup_free_ char *rd =
			bh_asprintf("%s/%s/initrd", dir, list[i]->d_name);

		if (*list[i]->d_name != '.' && !g->kernel && k && rd &&
		    access(k, R_OK) == 0) {
			g->kernel = TAKE_PTR(k);
			if (access(rd, R_OK) == 0)
				g->ramdisk = TAKE_PTR(rd);
		}
		free(list[i]);
	}
	free(list);
	return g->kernel ? 0 : -ENOENT;
}

/* Without domU kernel package: the newest of the host's that has modules. */
static int newest_host(struct guest *g)
{
	struct dirent **list = NULL;
	int n = scandir("/boot", &list, NULL, versionsort), r = -ENOENT;

	for (int i = n - 1; i >= 0; i--) {
		const char *f = list[i]->d_name;
		_cleanup_free_ char *dep = NULL;

		if (bh_startswith(f, "vmlinuz-") && !g->kernel) {
			dep = bh_asprintf("/lib/modules/%s/modules.dep", f + 8);
			if (dep && access(dep, R_OK) == 0) {
				g->kernel = bh_asprintf("/boot/%s", f);
				g->ramdisk = initrd_path(f + 8);
				r = g->kernel && g->ramdisk ? 0 : oom();
			}
		}
		free(list[i]);
	}
	free(list);
	return r;
}

int guest_make_initrd(const struct guest *g)
{
	return g->host_kernel
		       ? initrd_make(g->kernel + strlen("/boot/vmlinuz-"))
		       : 0;
}

int guest_choose_kernel(struct guest *g, const char *args)
{
	static const char pvgrub[] = "/usr/lib/grub-xen/grub-x86_64-xen.bin";
	int r;

	free(g->extra);
	g->extra = bh_asprintf("console=hvc0%s%s", args && *args ? " " : "",
			       args ? args : "");
	if (!g->extra)
		return oom();
	if (streq(g->boot, "disk")) {
		free(g->extra);
		g->extra = NULL; /* the guest's boot menu says it */
		return 0;
	}
	if (streq(g->boot, "pvgrub")) {
		free(g->extra);
		g->extra = NULL;
		if (access(pvgrub, R_OK) < 0)
			return fail(
				VMB_MISSING,
				"boot mode pvgrub needs %s; install grub-xen-host, or use --boot disk",
				pvgrub);
		g->kernel = strdup(pvgrub);
		return g->kernel ? 0 : oom();
	}
	if (g->kernel) {
		if (access(g->kernel, R_OK) < 0)
			return fail(VMB_MISSING, "cannot read kernel %s: %m",
				    g->kernel);
		return 0;
	}
	if (newest_domu(g) >= 0)
		return 0;
	r = newest_host(g);
	if (r == -ENOENT)
		return fail(
			VMB_MISSING,
			"no kernel for guests: install a Bulkhead domU kernel package, name one with --kernel, or use --boot disk");
	g->host_kernel = true;
	return r;
}
