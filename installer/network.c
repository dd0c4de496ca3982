/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bridge: takes over the address configuration of the interface that has
 * the default route, which becomes its first port, pinned by MAC address so
 * that a renamed interface changes nothing.
 *
 * A mistake here locks the administrator out, so every file is saved first and
 * a timer is armed that puts everything back unless the gateway answers within
 * answers.net_timeout seconds of the change.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bulkhead/util.h>

#include "setup.h"

#define SAVE_DIR   "/var/lib/bulkhead/setup/network"
#define INTERFACES "/etc/network/interfaces"
#define ND_DIR     "/etc/systemd/network"
#define IFUP_UNIT  "bulkhead-network-up.service"
#define MODULES    "/etc/modules-load.d/bulkhead-bridge.conf"

static char mac[18];

static bool nic_exists(const char *nic)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%.15s", nic);
	return *nic && !access(path, F_OK);
}

static bool is_bridge(const char *nic)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/bridge", nic);
	return !access(path, F_OK);
}

static int read_mac(const char *nic)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/address", nic);
	if (bh_read_file(path, 64, &text, &len) || len < 17)
		return -ENODEV;
	memcpy(mac, text, 17);
	return 0;
}

/* Saves a file for rollback; one that does not exist is noted as such. What an
 * interrupted run saved is the original and stays. */
static int save_file(const char *path)
{
	_cleanup_free_ char *text = NULL, *name = NULL;
	char to[512], absent[520];
	size_t len = 0;
	int r = bh_read_file(path, 1 << 20, &text, &len);

	if (r && r != -ENOENT)
		return r;
	name = strdup(path);
	if (!name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		if (*p == '/')
			*p = '!';
	snprintf(to, sizeof(to), SAVE_DIR "/%s", name);
	snprintf(absent, sizeof(absent), "%s.absent", to);
	if (!access(to, F_OK) || !access(absent, F_OK))
		return 0;
	r = bh_mkdir_p(SAVE_DIR, 0700);
	return r ? r
		 : bh_write_file(text ? to : absent, text ? text : "", len,
				 0600);
}

static int replace_file(const char *path, const char *text)
{
	int r;

	printf("    %s %s\n", opt_dry_run ? "would write" : "writing", path);
	if (opt_dry_run)
		return 0;
	r = save_file(path);
	return r ? r : bh_write_file(path, text, strlen(text), 0644);
}

/* ---- systemd-networkd --------------------------------------------------------- */

/* The [Network]... part of the .network file that configures nic now. */
static char *networkd_settings(const char *nic)
{
	const char *const argv[] = { "networkctl", "status", "--no-pager",
				     "-n0",        nic,      NULL };
	_cleanup_free_ char *out = NULL, *text = NULL;
	char file[256] = "", *p;
	size_t len;

	if (!run_output(argv, &out) && (p = strstr(out, "Network File:")))
		sscanf(p + 13, " %255s", file);
	if (*file != '/' || bh_read_file(file, 65536, &text, &len))
		return strdup("[Network]\nDHCP=yes\n");
	p = strstr(text, "[Network]");
	return strdup(p ? p : "[Network]\nDHCP=yes\n");
}

static int apply_networkd(void)
{
	const char *const reload[] = { "networkctl", "reload", NULL };
	const char *const reconf[] = { "networkctl", "reconfigure", answers.nic,
				       answers.bridge, NULL };
	_cleanup_free_ char *cfg = networkd_settings(answers.nic);
	_cleanup_free_ char *dev = bh_asprintf(
		"# Written by bulkhead-setup.\n[NetDev]\nName=%s\nKind=bridge\n"
		"MACAddress=%s\n[Bridge]\nSTP=no\nForwardDelaySec=0\n",
		answers.bridge, mac);
	_cleanup_free_ char *port = bh_asprintf(
		"# Written by bulkhead-setup.\n[Match]\nPermanentMACAddress=%s\n"
		"Kind=!*\n[Network]\nBridge=%s\n",
		mac, answers.bridge);
	_cleanup_free_ char *br = bh_asprintf(
		"# Written by bulkhead-setup.\n[Match]\nName=%s\n%s",
		answers.bridge, cfg ? cfg : "");
	int r;

	if (!cfg || !dev || !port || !br)
		return -ENOMEM;
	/* Virtual interfaces (vlans of the port) share the MAC, hence Kind; a
	 * port without a permanent address (virtio) is matched by MACAddress. */
	r = replace_file(ND_DIR "/05-bulkhead.netdev", dev);
	if (!r)
		r = replace_file(ND_DIR "/05-bulkhead-port.network", port);
	if (!r)
		r = replace_file(ND_DIR "/05-bulkhead-bridge.network", br);
	if (!r)
		r = run(reload);
	return r ? r : run(reconf);
}

/* ---- ifupdown ------------------------------------------------------------------ */

/* Rewrites the stanzas of nic as stanzas of the bridge; everything else stays
 * as it is. `iface NIC inet X` becomes manual and a bridge stanza follows. */
static char *rewrite_interfaces(const char *text)
{
	char *out = NULL, *line = NULL;
	_cleanup_free_ char *copy = strdup(text);
	char *save = copy;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f || !copy)
		return NULL;
	while ((line = strsep(&save, "\n"))) {
		char word[16] = "", name[16] = "", fam[16] = "", rest[64] = "";

		sscanf(line, "%15s %15s %15s %63[^\n]", word, name, fam, rest);
		if (streq(word, "iface") && streq(name, answers.nic)) {
			if (streq(fam, "inet"))
				fprintf(f,
					"iface %s inet manual\n\n"
					"auto %s\n",
					name, answers.bridge);
			fprintf(f, "iface %s %s %s\n", answers.bridge, fam,
				rest);
			if (!streq(fam, "inet"))
				continue;
			fprintf(f,
				"\t# Written by bulkhead-setup.\n"
				"\tpre-up ip link show %s >/dev/null 2>&1 || "
				"ip link add %s address %s type bridge "
				"stp_state 0 forward_delay 0\n"
				"\tpre-up ip link set %s master %s up\n"
				"\tpost-down ip link delete %s\n",
				answers.bridge, answers.bridge, mac,
				answers.nic, answers.bridge, answers.bridge);
			continue;
		}
		fprintf(f, save ? "%s\n" : "%s", line);
	}
	fclose(f);
	return out;
}

/* Without a word when it is not there. */
static void stop_unit(const char *unit)
{
	const char *const stop[] = { "systemctl", "stop", unit, NULL };
	_cleanup_free_ char *out = NULL;

	(void)run_output(stop, &out);
}

static int apply_ifupdown(void)
{
	const char *const down[] = { "ifdown", "--force", answers.nic, NULL };
	const char *const up[] = { "ifup", answers.nic, NULL };
	char want[64], limit[40];
	/* DHCP through a dead bridge is tried for minutes, ifup waits for its
	 * client, and ifdown, which the rollback needs, for ifup. As a unit all
	 * of that can be ended; it stays, for the client runs in it. */
	const char *const upbr[] = { "systemd-run",
				     "--quiet",
				     "--collect",
				     "--unit=" IFUP_UNIT,
				     "-pType=oneshot",
				     "-pRemainAfterExit=yes",
				     limit,
				     "ifup",
				     answers.bridge,
				     NULL };
	_cleanup_free_ char *text = NULL, *new = NULL;
	size_t len;
	int r = bh_read_file(INTERFACES, 1 << 20, &text, &len);

	if (r)
		return r;
	snprintf(limit, sizeof(limit), "-pTimeoutStartSec=%u",
		 answers.net_timeout - 10);
	snprintf(want, sizeof(want), "iface %s inet", answers.nic);
	if (!strstr(text, want)) {
		report(R_BAD,
		       "%s has no '%s': configure %s there first, or "
		       "say --no-network",
		       INTERFACES, want, answers.nic);
		return -ENOENT;
	}
	new = rewrite_interfaces(text);
	if (!new)
		return -ENOMEM;
	if (!opt_dry_run) {
		stop_unit(IFUP_UNIT);
		run(down);
	}
	r = opt_dry_run ? 0 : replace_file(INTERFACES, new);
	if (r)
		return r;
	run(up);
	r = run(upbr);
	return *host.gateway ? 0 : r; /* else the gateway is asked */
}

/* ---- NetworkManager ------------------------------------------------------------- */

static int apply_nm(void)
{
	const char *const br[] = { "nmcli",
				   "connection",
				   "add",
				   "type",
				   "bridge",
				   "con-name",
				   "bulkhead-bridge",
				   "ifname",
				   answers.bridge,
				   "bridge.stp",
				   "no",
				   "bridge.mac-address",
				   mac,
				   NULL };
	const char *const port[] = { "nmcli",
				     "connection",
				     "add",
				     "type",
				     "ethernet",
				     "con-name",
				     "bulkhead-port",
				     "ifname",
				     "*",
				     "802-3-ethernet.mac-address",
				     mac,
				     "master",
				     answers.bridge,
				     "connection.autoconnect-priority",
				     "10",
				     NULL };
	const char *const up[] = { "nmcli", "connection", "up", "bulkhead-port",
				   NULL };
	int r = run(br);

	if (!r)
		r = run(port);
	return r ? r : run(up);
}

/* ---- rollback ------------------------------------------------------------------- */

static uint64_t rollback_at; /* by our clock; the timer fires then */

static int arm_rollback(void)
{
	char when[32];
	const char *const argv[] = { "systemd-run", "--quiet", "--collect",
				     "--unit=bulkhead-network-rollback",
				     /* the DHCP client it starts stays */
				     "--property=KillMode=process", when,
				     "/usr/sbin/bulkhead-setup",
				     "--rollback-network", NULL };

	/* of a run that was interrupted */
	stop_unit("bulkhead-network-rollback.timer");
	stop_unit("bulkhead-network-rollback.service");
	snprintf(when, sizeof(when), "--on-active=%us", answers.net_timeout);
	rollback_at = bh_now_us() + answers.net_timeout * 1000000ULL;
	return run(argv);
}

static void disarm_rollback(void)
{
	const char *const argv[] = { "systemctl", "stop",
				     "bulkhead-network-rollback.timer", NULL };

	run(argv);
}

/* What cannot be put back stays saved. */
static int restore_files(void)
{
	DIR *d = opendir(SAVE_DIR);
	struct dirent *e;
	int bad = 0;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *text = NULL;
		char from[512], to[256];
		bool absent = bh_endswith(e->d_name, ".absent");
		size_t len;

		if (e->d_name[0] != '!')
			continue;
		snprintf(from, sizeof(from), SAVE_DIR "/%s", e->d_name);
		snprintf(to, sizeof(to), "%s", e->d_name);
		if (absent)
			to[strlen(to) - strlen(".absent")] = '\0';
		for (char *p = to; *p; p++)
			if (*p == '!')
				*p = '/';
		printf("    %s %s\n", absent ? "removing" : "restoring", to);
		if (absent ? unlink(to) < 0 && errno != ENOENT
			   : bh_read_file(from, 1 << 20, &text, &len) ||
				     bh_write_file(to, text, len, 0644)) {
			report(R_BAD,
			       "cannot restore %s: it stays in %s; mend the cause and run bulkhead-setup --undo",
			       to, from);
			bad = -EIO;
			continue;
		}
		unlink(from);
	}
	if (d)
		closedir(d);
	return bad;
}

int network_rollback(void)
{
	const char *bridge = state_get("network.bridge");
	const char *nic = state_get("network.nic");
	const char *del[] = { "ip", "link", "delete", bridge, NULL };
	const char *const nd[] = { "systemctl", "restart", "systemd-networkd",
				   NULL };
	const char *const ifdown[] = { "ifdown", "--force", bridge, NULL };
	const char *const ifup[] = { "ifup", "--force", nic, NULL };
	const char *const nm[] = { "nmcli",         "connection",      "delete",
				   "bulkhead-port", "bulkhead-bridge", NULL };
	int r;

	if (!bridge || !nic)
		return 0;
	if (host.manager == NET_IFUPDOWN) { /* while its stanza is there */
		stop_unit(IFUP_UNIT);
		run(ifdown);
	}
	r = restore_files();
	if (host.manager == NET_NM)
		run(nm);
	if (is_bridge(bridge))
		run(del);
	if (host.manager == NET_NETWORKD)
		run(nd);
	else if (host.manager == NET_IFUPDOWN)
		run(ifup);
	if (r)
		return r;
	state_drop("network.bridge");
	return state_drop("network.nic");
}

/* Sends a datagram to the gateway's discard port (RFC 863) through the bridge,
 * for which the kernel must find its link address first. */
static void ask_gateway(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && inet_pton(AF_INET, host.gateway, &to.sin_addr) == 1 &&
	    !setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, answers.bridge,
			(socklen_t)strlen(answers.bridge)))
		(void)sendto(fd, "", 1, 0, (void *)&to, sizeof(to));
	if (fd >= 0)
		close(fd);
}

/* The gateway answers through the bridge, now or within the time that is left
 * before the timer fires. Not every gateway answers pings, but all answer ARP. */
static bool gateway_answers(void)
{
	const char *const neigh[] = { "ip",  "neigh",        "show",
				      "dev", answers.bridge, host.gateway,
				      NULL };

	printf("    waiting until gateway %s answers through %s\n",
	       host.gateway, answers.bridge);
	while (bh_now_us() + 5000000 < rollback_at) {
		_cleanup_free_ char *out = NULL;

		ask_gateway();
		sleep(1);
		if (!run_output(neigh, &out) && strstr(out, "REACHABLE"))
			return true;
	}
	return false;
}

/*
 * systemd-networkd gives up on a bridge that is not there after 25 s, and on a
 * busy machine loading the module at its first use has taken longer. So it is
 * loaded now, and at every boot before any of the network managers starts.
 */
static int load_bridge_module(void)
{
	const char *const load[] = { "modprobe", "-q", "bridge", NULL };
	int r = opt_dry_run ? 0 : bh_mkdir_p("/etc/modules-load.d", 0755);

	if (!r)
		r = replace_file(MODULES,
				 "# Written by bulkhead-setup.\nbridge\n");
	if (!r)
		(void)run(load); /* a kernel may have it built in */
	return r;
}

/* ---- the step ------------------------------------------------------------------- */

static int plan(char *text, size_t size)
{
	if (!answers.network)
		return snprintf(text, size, "network left alone") < 0;
	if (!*answers.bridge)
		snprintf(answers.bridge, sizeof(answers.bridge), "xenbr0");
	if (is_bridge(answers.bridge)) {
		snprintf(text, size, "bridge %s is there", answers.bridge);
		return 0;
	}
	if (!*answers.nic)
		snprintf(answers.nic, sizeof(answers.nic), "%s",
			 host.default_nic);
	if (!nic_exists(answers.nic) || read_mac(answers.nic)) {
		report(R_BAD,
		       "no interface '%s' for the bridge: name one with "
		       "--nic, or say --no-network",
		       answers.nic);
		return -ENODEV;
	}
	if (is_bridge(answers.nic)) {
		snprintf(answers.bridge, sizeof(answers.bridge), "%s",
			 answers.nic);
		snprintf(text, size, "bridge %s is there", answers.bridge);
		return 0;
	}
	if (host.manager == NET_NONE) {
		report(R_BAD, "no known network manager: make a bridge by hand "
			      "and say --bridge NAME, or --no-network");
		return -EOPNOTSUPP;
	}
	if (answers.net_timeout < 20)
		answers.net_timeout = 20;
	snprintf(text, size,
		 "make bridge %s on %s (%s), back in %u s if the "
		 "gateway does not answer",
		 answers.bridge, answers.nic, mac, answers.net_timeout);
	return 1;
}

static int make_bridge(void)
{
	switch (host.manager) {
	case NET_NETWORKD:
		return apply_networkd();
	case NET_NM:
		return apply_nm();
	default:
		return apply_ifupdown();
	}
}

static int apply(void)
{
	int r = state_add("network.nic", answers.nic);

	if (!r)
		r = state_add("network.bridge", answers.bridge);
	if (!r && *host.gateway)
		r = arm_rollback();
	if (r)
		return r;
	r = load_bridge_module();
	if (!r)
		r = make_bridge();
	if (opt_dry_run)
		return 0;
	if (!r && *host.gateway && !gateway_answers()) {
		report(R_BAD,
		       "gateway %s does not answer through bridge %s: "
		       "putting the network back",
		       host.gateway, answers.bridge);
		r = -EHOSTUNREACH;
	}
	if (*host.gateway)
		disarm_rollback();
	if (r)
		network_rollback();
	return r;
}

static int undo(void)
{
	return network_rollback();
}

const struct step step_network = { "network", plan, apply, undo };
