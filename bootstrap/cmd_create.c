/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-bootstrap create. Everything the command line can get wrong is found
 * before the first change; what then remains is guest_make(), starting and
 * waiting. The spellings of xen-create-image are options of their own here,
 * mapped on ours.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>

#include <bulkhead/run.h>

#include "bhctl.h"
#include "cmd.h"
#include "conf.h"
#include "journal.h"
#include "lock.h"
#include "make.h"
#include "names.h"
#include "options.h"
#include "recipe.h"

enum {
	O_TEMPLATE = 256,
	O_MEMORY,
	O_VCPUS,
	O_DISK,
	O_SWAP,
	O_SSHKEY,
	O_USER,
	O_PASSFILE,
	O_HOSTNAME,
	O_BRIDGE,
	O_IP,
	O_GATEWAY,
	O_NETMASK,
	O_DNS,
	O_MAC,
	O_VLAN,
	O_NIC,
	O_NONET,
	O_NETSTYLE,
	O_VG,
	O_POOL,
	O_BOOT,
	O_KERNEL,
	O_RAMDISK,
	O_EXTRA,
	O_RUN,
	O_ROLE,
	O_USERDATA,
	O_START,
	O_AUTOSTART,
	O_WAIT,
	O_TIMEOUT,
	O_DRYRUN,
	O_JSON,
	O_FORCE,
	O_HELP,
	O_DIST,
	O_NOSWAP,
	O_DHCP,
	O_MAXMEM,
};

static const struct option longopts[] = {
	{ "template", 1, 0, O_TEMPLATE },
	{ "memory", 1, 0, O_MEMORY },
	{ "vcpus", 1, 0, O_VCPUS },
	{ "disk", 1, 0, O_DISK },
	{ "swap", 1, 0, O_SWAP },
	{ "ssh-key", 1, 0, O_SSHKEY },
	{ "user", 1, 0, O_USER },
	{ "password-file", 1, 0, O_PASSFILE },
	{ "hostname", 1, 0, O_HOSTNAME },
	{ "bridge", 1, 0, O_BRIDGE },
	{ "ip", 1, 0, O_IP },
	{ "gateway", 1, 0, O_GATEWAY },
	{ "netmask", 1, 0, O_NETMASK },
	{ "dns", 1, 0, O_DNS },
	{ "mac", 1, 0, O_MAC },
	{ "vlan", 1, 0, O_VLAN },
	{ "nic", 1, 0, O_NIC },
	{ "no-network", 0, 0, O_NONET },
	{ "network", 1, 0, O_NETSTYLE },
	{ "vg", 1, 0, O_VG },
	{ "pool", 1, 0, O_POOL },
	{ "boot", 1, 0, O_BOOT },
	{ "kernel", 1, 0, O_KERNEL },
	{ "ramdisk", 1, 0, O_RAMDISK },
	{ "extra", 1, 0, O_EXTRA },
	{ "run", 1, 0, O_RUN },
	{ "role", 1, 0, O_ROLE },
	{ "user-data", 1, 0, O_USERDATA },
	{ "start", 0, 0, O_START },
	{ "autostart", 0, 0, O_AUTOSTART },
	{ "wait", 0, 0, O_WAIT },
	{ "timeout", 1, 0, O_TIMEOUT },
	{ "dry-run", 0, 0, O_DRYRUN },
	{ "json", 0, 0, O_JSON },
	{ "force", 0, 0, O_FORCE },
	{ "help", 0, 0, O_HELP },
	/* xen-create-image */
	{ "dist", 1, 0, O_DIST },
	{ "lvm", 1, 0, O_VG },
	{ "size", 1, 0, O_DISK },
	{ "noswap", 0, 0, O_NOSWAP },
	{ "dhcp", 0, 0, O_DHCP },
	{ "boot-now", 0, 0, O_START },
	{ "initrd", 1, 0, O_RAMDISK },
	{ "nameserver", 1, 0, O_DNS },
	{ 0, 0, 0, 0 },
};

static const char help_text[] =
	"usage: vm-bootstrap create NAME [options]\n\n"
	"  --template T[@VERSION]   template (default: \"template\" of bootstrap.conf)\n"
	"  --memory SIZE --vcpus N --disk SIZE --swap SIZE\n"
	"  --ssh-key FILE           public key(s) for root, or for --user; repeatable\n"
	"  --user NAME --password-file FILE\n"
	"  --hostname NAME          default: the guest's name\n"
	"  --bridge BR --ip ADDRESS/LEN|dhcp|none --gateway A --dns A --mac M --vlan N\n"
	"  --nic key=value,...      one more interface; repeatable\n"
	"  --no-network             no interface at all\n"
	"  --network STYLE          networkd, ifupdown, networkmanager, netplan, none\n"
	"  --vg VG --pool POOL|none\n"
	"  --boot host|disk|pvgrub --kernel FILE --ramdisk FILE --extra ARGS\n"
	"  --run SCRIPT             run in the guest's root; repeatable\n"
	"  --role NAME              run a role script on the guest's root; repeatable\n"
	"  --user-data FILE         for cloud-init, where the template has it\n"
	"  --start --autostart --wait --timeout SECONDS\n"
	"  --dry-run --json --force (replaces a guest of that name)\n"
	"As in xen-create-image: --hostname --dist --lvm --size --swap --noswap\n"
	"  --memory --vcpus --ip --netmask --gateway --nameserver --dhcp --role --force\n";

struct create {
	struct guest g;
	struct make_req q;
	struct tmpl tmpl;
	struct buf keys;
	char *template, *password, *user_data, *user, *extra;
	const char *netmask;
	bool start, wait, force, no_net, first_nic, mem_given, swap_given, dist;
	unsigned long timeout;
};

static void create_done(struct create *c)
{
	guest_done(&c->g);
	tmpl_done(&c->tmpl);
	buf_done(&c->keys);
	strv_done(&c->q.roles);
	strv_done(&c->q.scripts);
	free(c->template);
	free(c->password);
	free(c->user_data);
	free(c->user);
	free(c->extra);
}

static int text_opt(char **p, const char *v)
{
	free(*p);
	*p = strdup(v);
	return *p ? 0 : oom();
}

static int size_opt(const char *what, const char *v, uint64_t *ret)
{
	if (parse_size(v, 1ULL << 20, ret) < 0)
		return fail(VMB_USAGE,
			    "--%s \"%s\": expected a size, as in 512M or 8G",
			    what, v);
	return 0;
}

/* The nic that --ip, --bridge and friends speak about. */
static struct nic *main_nic(struct create *c)
{
	if (!c->first_nic) {
		memmove(&c->g.nics[1], &c->g.nics[0],
			(MAX_NICS - 1) * sizeof(struct nic));
		memset(&c->g.nics[0], 0, sizeof(struct nic));
		c->g.n_nics++;
		c->first_nic = true;
	}
	return &c->g.nics[0];
}

static int add_nic(struct create *c, const char *text)
{
	if (c->g.n_nics >= MAX_NICS - 1)
		return fail(VMB_USAGE, "a guest can have %d interfaces at most",
			    MAX_NICS - 1);
	return nic_parse(text, &c->g.nics[c->g.n_nics++]);
}

static int net_opt(struct create *c, int o, const char *v)
{
	switch (o) {
	case O_BRIDGE:
		return nic_set(main_nic(c), "bridge", v);
	case O_IP:
		return nic_set(main_nic(c), "ip", v);
	case O_DHCP:
		return nic_set(main_nic(c), "ip", "dhcp");
	case O_GATEWAY:
		return nic_set(main_nic(c), "gateway", v);
	case O_NETMASK:
		c->netmask = v; /* needs the address: applied last */
		return 0;
	case O_DNS:
		return nic_set(main_nic(c), "dns", v);
	case O_MAC:
		return nic_set(main_nic(c), "mac", v);
	case O_VLAN:
		return nic_set(main_nic(c), "vlan", v);
	case O_NIC:
		return streq(v, "none") ? (c->no_net = true, 0) : add_nic(c, v);
	case O_NONET:
		c->no_net = true;
		return 0;
	default:
		if (netstyle_parse(v, &c->q.id.net) < 0)
			return fail(
				VMB_USAGE,
				"--network %s: use networkd, ifupdown, networkmanager, netplan or none",
				v);
		c->q.id.net_detect = false;
		return text_opt(&c->g.network, v);
	}
}

static int guest_opt(struct create *c, int o, const char *v)
{
	unsigned long n;

	switch (o) {
	case O_TEMPLATE:
	case O_DIST:
		c->dist = o == O_DIST;
		return text_opt(&c->template, v);
	case O_MEMORY:
		c->mem_given = true;
		return size_opt("memory", v, &c->g.memory);
	case O_DISK:
		return size_opt("disk", v, &c->g.disk);
	case O_SWAP:
		c->swap_given = true;
		return size_opt("swap", v, &c->g.swap);
	case O_NOSWAP:
		c->swap_given = true;
		c->g.swap = 0;
		return 0;
	case O_VCPUS:
		if (bh_parse_u64(v, 10, 128, &n) < 0 || n == 0)
			return fail(VMB_USAGE, "--vcpus %s: expected 1 to 128",
				    v);
		c->g.vcpus = (unsigned int)n;
		return 0;
	case O_SSHKEY:
		return opt_ssh_key(v, &c->keys);
	case O_USER:
		return name_check_user(v) < 0 ? -VMB_USAGE
					      : text_opt(&c->user, v);
	case O_PASSFILE:
		return opt_password_file(v, &c->password);
	case O_HOSTNAME:
		return name_check_hostname(v) < 0 ? -VMB_USAGE
						  : text_opt(&c->g.hostname, v);
	case O_BOOT:
		if (!streq(v, "host") && !streq(v, "disk") &&
		    !streq(v, "pvgrub"))
			return fail(
				VMB_USAGE,
				"--boot %s: use host, disk or pvgrub (xen-create-image's --boot is --start)",
				v);
		return text_opt(&c->g.boot, v);
	case O_KERNEL:
		return opt_cfg_string("kernel", v, &c->g.kernel);
	case O_RAMDISK:
		return opt_cfg_string("ramdisk", v, &c->g.ramdisk);
	case O_EXTRA:
		return opt_cfg_string("extra", v, &c->extra);
	default:
		return -1000;
	}
}

static int other_opt(struct create *c, int o, const char *v)
{
	switch (o) {
	case O_VG:
		c->q.want_vg = v;
		return name_check_vg(v);
	case O_POOL:
		c->q.want_pool = v;
		return name_check_vg(v);
	case O_RUN:
		return opt_script(v, &c->q.scripts);
	case O_ROLE:
		return opt_role(v, &c->q.roles);
	case O_USERDATA:
		return opt_user_data(v, &c->user_data);
	case O_START:
		c->start = true;
		return 0;
	case O_AUTOSTART:
		c->q.autostart = true;
		return 0;
	case O_WAIT:
		c->wait = c->start = true;
		return 0;
	case O_TIMEOUT:
		return bh_parse_u64(v, 10, 86400, &c->timeout) < 0 ||
				       !c->timeout
			       ? fail(VMB_USAGE,
				      "--timeout %s: expected seconds", v)
			       : 0;
	case O_DRYRUN:
		c->q.dry_run = true;
		return 0;
	case O_JSON:
		opt_json = opt_quiet = true;
		return 0;
	case O_FORCE:
		c->force = true;
		return 0;
	default:
		return -VMB_USAGE;
	}
}

static int parse(struct create *c, int argc, char **argv)
{
	int o, r;

	opterr = 0;
	while ((o = getopt_long(argc, argv, ":h", longopts, NULL)) != -1) {
		if (o == O_HELP || o == 'h') {
			fputs(help_text, stdout);
			return 1;
		}
		if (o == '?' || o == ':')
			return fail(VMB_USAGE, "create: %s \"%s\"; see --help",
				    o == ':' ? "value missing after"
					     : "unknown option",
				    argv[optind - 1]);
		if (o >= O_BRIDGE && o <= O_NETSTYLE)
			r = net_opt(c, o, optarg);
		else if (o == O_DHCP)
			r = net_opt(c, o, optarg);
		else
			r = guest_opt(c, o, optarg);
		if (r == -1000)
			r = other_opt(c, o, optarg);
		if (r < 0)
			return r;
	}
	if (optind < argc && text_opt(&c->g.name, argv[optind++]) < 0)
		return -VMB_FAILED;
	if (optind < argc)
		return fail(VMB_USAGE,
			    "create: one guest at a time; \"%s\" is too much",
			    argv[optind]);
	return 0;
}

static int from_conf(uint64_t *p, const char *key, uint64_t dflt)
{
	const char *v = conf_get(key);

	if (*p)
		return 0;
	*p = dflt;
	return v ? size_opt(key, v, p) : 0;
}

/* What the host's settings say of a static address. */
static int nic_defaults(struct nic *n)
{
	const char *gw = conf_get("gateway"), *dns = conf_get("dns");
	_cleanup_strv_ struct strv servers = { 0 };
	int r = 0;

	if (gw && (strchr(gw, ':') ? n->ip6 && !n->gw6 : n->ip4 && !n->gw4))
		r = nic_set(n, "gateway", gw);
	if (r < 0 || !dns || n->dns.n || !(n->ip4 || n->ip6))
		return r;
	if (strv_split(&servers, dns, " \t,") < 0)
		return oom();
	for (size_t i = 0; r >= 0 && i < servers.n; i++)
		r = nic_set(n, "dns", servers.v[i]);
	return r;
}

static int finish_nics(struct create *c)
{
	if (c->no_net) {
		for (size_t i = 0; i < c->g.n_nics; i++)
			nic_done(&c->g.nics[i]);
		c->g.n_nics = 0;
		return 0;
	}
	if (!c->g.n_nics)
		(void)main_nic(c);
	if (c->netmask && nic_set(main_nic(c), "netmask", c->netmask) < 0)
		return -VMB_USAGE;
	for (size_t i = 0; i < c->g.n_nics; i++) {
		int r = i ? 0 : nic_defaults(&c->g.nics[i]);

		if (r >= 0)
			r = nic_finish(&c->g.nics[i]);
		if (r < 0)
			return r;
		if (!nic_is_bridge(c->g.nics[i].bridge))
			return fail(
				VMB_MISSING,
				"this host has no bridge \"%s\"; make it first, or name another with --bridge",
				c->g.nics[i].bridge);
		for (size_t k = 0; k < i; k++)
			if (streq(c->g.nics[i].mac, c->g.nics[k].mac))
				return fail(VMB_USAGE,
					    "two interfaces with MAC %s",
					    c->g.nics[i].mac);
		if (guest_mac_taken(c->g.nics[i].mac, c->g.name))
			return fail(
				VMB_CONFLICT,
				"MAC address %s belongs to another guest; leave --mac out to get a free one",
				c->g.nics[i].mac);
	}
	return 0;
}

/* All that can be checked without touching anything. */
static int complete(struct create *c)
{
	const char *key = conf_get("ssh-key");
	uint8_t u[16];
	int r;

	if (!c->g.name && c->g.hostname) {
		c->g.name = strdup(c->g.hostname);
		if (!c->g.name)
			return oom();
	}
	if (!c->g.name)
		return usage_of("create");
	r = name_check_guest(c->g.name);
	if (r < 0)
		return r;
	if (!c->g.hostname && text_opt(&c->g.hostname, c->g.name) < 0)
		return -VMB_FAILED;
	if (!c->template && conf_get("template") &&
	    text_opt(&c->template, conf_get("template")) < 0)
		return -VMB_FAILED;
	if (!c->template)
		return fail(
			VMB_USAGE,
			"say which template with --template; \"vm-bootstrap template list\" shows those there are");
	if (!c->timeout && conf_get("wait-timeout") &&
	    other_opt(c, O_TIMEOUT, conf_get("wait-timeout")) < 0)
		return -VMB_USAGE;
	if (!c->keys.n && key && opt_ssh_key(key, &c->keys) < 0)
		return -VMB_USAGE;
	r = finish_nics(c);
	if (r < 0)
		return r;
	uuid_random(u);
	c->g.uuid = uuid_text(u);
	c->g.created = time_now_text();
	if (!c->g.vcpus && conf_get("vcpus") &&
	    guest_opt(c, O_VCPUS, conf_get("vcpus")) < 0)
		return -VMB_USAGE;
	if (!c->g.vcpus)
		c->g.vcpus = 1;
	if (!c->swap_given && from_conf(&c->g.swap, "swap", 0) < 0)
		return -VMB_USAGE;
	if (!c->timeout)
		c->timeout = 180;
	return c->g.uuid && c->g.created ? 0 : oom();
}

/* xen-create-image's --dist is a suite: what is made of that, or would be. */
static int dist_to_template(struct create *c)
{
	struct tmpl_list all __attribute__((cleanup(tmpl_list_done))) = { 0 };
	struct strv recipes _cleanup_strv_ = { 0 };

	if (tmpl_all(&all) < 0 || recipe_names(&recipes) < 0)
		return -VMB_FAILED;
	if (tmpl_exists(c->template) || strv_has(&recipes, c->template))
		return 0;
	for (size_t i = 0; i < all.n; i++)
		if (streq(all.t[i].suite, c->template))
			return text_opt(&c->template, all.t[i].name);
	for (size_t i = 0; i < recipes.n; i++) {
		struct recipe r _cleanup_recipe_ = { 0 };

		if (recipe_load(recipes.v[i], &r) >= 0 &&
		    streq(r.suite, c->template))
			return text_opt(&c->template, recipes.v[i]);
	}
	return 0;
}

/* A plan without the template: its size, and so the disk's, is not known yet. */
static int plan_build(const struct create *c)
{
	struct recipe r _cleanup_recipe_ = { 0 };

	if (recipe_load(c->template, &r) < 0)
		return -VMB_MISSING;
	if (opt_json)
		printf("{\"schema\": 1, \"name\": \"%s\", \"build\": \"%s\"}\n",
		       c->g.name, r.name);
	else
		printf("template %s: built first, from %s; then guest %s from it\n",
		       r.name, r.path, c->g.name);
	return 1;
}

/* A template that is not there but has a recipe is built: one command makes the
 * first guest. Anything else that is wrong with the name is tmpl_find's to say. */
static int build_missing(const struct create *c)
{
	struct strv recipes _cleanup_strv_ = { 0 };
	const char *argv[12] = { "vm-bootstrap" };
	unsigned int n = 1;
	int rc;

	if (tmpl_exists(c->template))
		return 0;
	if (recipe_names(&recipes) < 0)
		return -VMB_FAILED;
	if (!strv_has(&recipes, c->template))
		return 0;
	if (c->q.dry_run)
		return plan_build(c);
	if (opt_quiet)
		argv[n++] = "-q";
	argv[n++] = "template";
	argv[n++] = "build";
	argv[n++] = "--if-missing";
	argv[n++] = c->template;
	if (c->q.want_vg) {
		argv[n++] = "--vg";
		argv[n++] = c->q.want_vg;
	}
	if (c->q.want_pool) {
		argv[n++] = "--pool";
		argv[n++] = c->q.want_pool;
	}
	note("there is no template %s yet; building it", c->template);
	rc = bh_run(argv, BH_RUN_TIED, NULL, NULL);
	/* It has said itself why. */
	return rc <= VMB_SOURCE
		       ? -rc
		       : fail(VMB_FAILED, "template %s could not be built",
			      c->template);
}

static int apply_template(struct create *c)
{
	struct tmpl *t = &c->tmpl;
	_cleanup_free_ char *args = NULL;
	int r = c->dist ? dist_to_template(c) : 0;

	if (r >= 0)
		r = build_missing(c);
	if (r == 0)
		r = tmpl_find(c->template,
			      c->q.want_vg ? c->q.want_vg
					   : conf_get("volume-group"),
			      t);
	if (r)
		return r;
	c->g.template = bh_asprintf("%s@%u", t->name, t->version);
	if (!c->g.boot && text_opt(&c->g.boot, t->boot) < 0)
		return -VMB_FAILED;
	/* As its recipe says; without that, as its files look. */
	if (c->q.id.net_detect && t->network)
		c->q.id.net_detect =
			netstyle_parse(t->network, &c->q.id.net) < 0;
	r = from_conf(&c->g.disk, "disk",
		      t->disk > t->size ? t->disk : t->size);
	if (r >= 0)
		r = from_conf(&c->g.memory, "memory",
			      t->memory ? t->memory : 256ULL << 20);
	if (r >= 0 && c->g.memory < 8ULL << 20)
		r = fail(VMB_USAGE, "--memory %s: too little for any guest",
			 fmt_size(c->g.memory));
	if (r < 0)
		return r;
	/* Guests of one group stay there unless told otherwise. */
	if (!c->q.want_vg && !conf_get("volume-group"))
		c->q.want_vg = t->vg;
	args = bh_asprintf("%s%s%s", t->kernel_args ? t->kernel_args : "",
			   t->kernel_args && c->extra ? " " : "",
			   c->extra ? c->extra : "");
	r = args ? guest_choose_kernel(&c->g, args) : oom();
	/* A distribution's kernel needs more than one made for guests. */
	if (r >= 0 && c->g.host_kernel && !c->mem_given &&
	    c->g.memory < 160ULL << 20)
		c->g.memory = 160ULL << 20;
	c->q.g = &c->g;
	c->q.kind = SRC_TEMPLATE;
	c->q.tmpl = t;
	c->q.src_vg = t->vg;
	c->q.src_lv = t->lv;
	c->q.src_fstype = t->fstype;
	c->q.src_bytes = t->size;
	c->q.id.hostname = c->g.hostname;
	c->q.id.ssh_keys = c->keys.n ? c->keys.s : NULL;
	c->q.id.user = c->user;
	c->q.id.password_hash = c->password;
	c->q.id.user_data = c->user_data;
	c->q.id.nics = c->g.nics;
	c->q.id.n_nics = c->g.n_nics;
	return r;
}

static int start_and_wait(struct create *c)
{
	const char *ip = NULL;
	int r;

	if (!c->start)
		return 0;
	r = bhctl_start(c->g.name);
	if (r < 0 || !c->wait)
		return r;
	for (size_t i = 0; i < c->g.n_nics && !ip; i++)
		ip = c->g.nics[i].ip4 ? c->g.nics[i].ip4 : c->g.nics[i].ip6;
	return wait_ready(c->g.name, ip, (unsigned int)c->timeout);
}

/* What --force needs, before anything is changed. */
static int check_old(struct create *c)
{
	struct guest old _cleanup_guest_ = { 0 };

	if (!guest_exists(c->g.name))
		return 0;
	if (!c->force)
		return fail(
			VMB_CONFLICT,
			"guest %s exists already; choose another name, or --force to replace it",
			c->g.name);
	if (bhctl_is_running(c->g.name))
		return fail(
			VMB_CONFLICT,
			"guest %s is running; stop it first (bhctl shutdown %s)",
			c->g.name, c->g.name);
	return guest_load(c->g.name, &old);
}

int cmd_create(int argc, char **argv)
{
	struct create c __attribute__((
		cleanup(create_done))) = { .q.id.net_detect = true };
	_cleanup_lock_ int lock = -1, tlock = -1;
	int r = parse(&c, argc, argv);

	if (r)
		return r < 0 ? r : 0;
	r = complete(&c);
	if (r < 0)
		return r;
	lock = begin_guest(c.g.name, "create");
	if (lock < 0)
		return lock;
	r = check_old(&c);
	if (r >= 0)
		r = apply_template(&c);
	if (r)
		return r < 0 ? r : 0;
	c.q.replace = c.force && guest_exists(c.g.name);
	tlock = lock_take("template-use", c.tmpl.name, "", LOCK_SHARED_TRY);
	if (tlock < 0)
		return tlock;
	r = guest_make(&c.q);
	lock_drop(tlock);
	tlock = -1;
	if (r < 0 || c.q.dry_run)
		return r;
	if (c.g.host_kernel)
		note("no domU kernel package is installed: %s boots the host's %s",
		     c.g.name, c.g.kernel);
	if (!c.keys.n && !c.password && !c.user_data && !c.q.scripts.n &&
	    !c.q.roles.n && !streq(c.tmpl.network, "tiny"))
		note("%s has no SSH key and no password: only users that its template has can log in (--ssh-key, --password-file)",
		     c.g.name);
	r = start_and_wait(&c);
	if (opt_json) {
		_cleanup_free_ char *json = guest_to_json(&c.g);

		fputs(json ? json : "", stdout);
	} else if (r >= 0) {
		note("guest %s is %s", c.g.name,
		     c.wait    ? "up"
		     : c.start ? "started"
			       : "made");
	}
	return r;
}
