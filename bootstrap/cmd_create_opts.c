/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of vm-bootstrap create. The spellings of xen-create-image are
 * options of their own here, mapped on ours.
 */
#define _GNU_SOURCE
#include <getopt.h>

#include "cmd.h"
#include "conf.h"
#include "create.h"
#include "names.h"
#include "options.h"

/* In three groups, each read by a function of its own. */
enum {
	O_TEMPLATE = 256,
	O_DIST,
	O_MEMORY,
	O_VCPUS,
	O_DISK,
	O_SWAP,
	O_NOSWAP,
	O_SSHKEY,
	O_USER,
	O_PASSFILE,
	O_HOSTNAME,
	O_BOOT,
	O_KERNEL,
	O_RAMDISK,
	O_EXTRA,
	O_BRIDGE,
	O_IP,
	O_DHCP,
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

void create_done(struct create *c)
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
		if (opt_network(v, &c->q.id.net) < 0)
			return -VMB_USAGE;
		c->q.id.net_detect = false;
		return opt_text(&c->g.network, v);
	}
}

static int guest_opt(struct create *c, int o, const char *v)
{
	unsigned long n;

	switch (o) {
	case O_TEMPLATE:
	case O_DIST:
		c->dist = o == O_DIST;
		return opt_text(&c->template, v);
	case O_MEMORY:
		c->mem_given = true;
		return opt_size("memory", v, &c->g.memory);
	case O_DISK:
		return opt_size("disk", v, &c->g.disk);
	case O_SWAP:
		c->swap_given = true;
		return opt_size("swap", v, &c->g.swap);
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
					      : opt_text(&c->user, v);
	case O_PASSFILE:
		return opt_password_file(v, &c->password);
	case O_HOSTNAME:
		return name_check_hostname(v) < 0 ? -VMB_USAGE
						  : opt_text(&c->g.hostname, v);
	case O_BOOT:
		if (!streq(v, "host") && !streq(v, "disk") &&
		    !streq(v, "pvgrub"))
			return fail(
				VMB_USAGE,
				"--boot %s: use host, disk or pvgrub (xen-create-image's --boot is --start)",
				v);
		return opt_text(&c->g.boot, v);
	case O_KERNEL:
		return opt_cfg_string("kernel", v, &c->g.kernel);
	case O_RAMDISK:
		return opt_cfg_string("ramdisk", v, &c->g.ramdisk);
	case O_EXTRA:
		return opt_cfg_string("extra", v, &c->extra);
	default:
		return -VMB_USAGE;
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
		return opt_timeout(v, &c->timeout);
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

int create_parse(struct create *c, int argc, char **argv)
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
		r = o < O_BRIDGE ? guest_opt(c, o, optarg)
		    : o < O_VG   ? net_opt(c, o, optarg)
				 : other_opt(c, o, optarg);
		if (r < 0)
			return r;
	}
	if (optind < argc && opt_text(&c->g.name, argv[optind++]) < 0)
		return -VMB_FAILED;
	if (optind < argc)
		return fail(VMB_USAGE,
			    "create: one guest at a time; \"%s\" is too much",
			    argv[optind]);
	return 0;
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

int create_complete(struct create *c)
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
	if (!c->g.hostname && opt_text(&c->g.hostname, c->g.name) < 0)
		return -VMB_FAILED;
	if (!c->template && conf_get("template") &&
	    opt_text(&c->template, conf_get("template")) < 0)
		return -VMB_FAILED;
	if (!c->template)
		return fail(
			VMB_USAGE,
			"say which template with --template; \"vm-bootstrap template list\" shows those there are");
	if (!c->timeout && conf_get("wait-timeout") &&
	    opt_timeout(conf_get("wait-timeout"), &c->timeout) < 0)
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
	if (!c->swap_given && opt_size_conf(&c->g.swap, "swap", 0) < 0)
		return -VMB_USAGE;
	if (!c->timeout)
		c->timeout = 180;
	return c->g.uuid && c->g.created ? 0 : oom();
}
