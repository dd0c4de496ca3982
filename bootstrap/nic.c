/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing and checking of interfaces; see nic.h. */
#include "nic.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>

#include "conf.h"
#include "names.h"

static int replace(char **p, const char *value)
{
	char *n = strdup(value);

	if (!n)
		return oom();
	free(*p);
	*p = n;
	return 0;
}

static int parse_mac(const char *s, char **ret)
{
	unsigned int b[6];
	char end;
	char *mac;

	if (strlen(s) != 17 ||
	    sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3],
		   &b[4], &b[5], &end) != 6)
		return fail(
			VMB_USAGE,
			"MAC address \"%s\": expected six hex pairs, as in 00:16:3e:01:02:03",
			s);
	if (b[0] & 1)
		return fail(
			VMB_USAGE,
			"MAC address \"%s\" is a multicast address; the first byte must be even",
			s);
	mac = bh_asprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2],
			  b[3], b[4], b[5]);
	if (!mac)
		return oom();
	free(*ret);
	*ret = mac;
	return 0;
}

int mac_random(char **ret)
{
	unsigned char b[3];

	if (random_bytes(b, sizeof(b)) < 0)
		return fail(VMB_FAILED, "no random numbers");
	free(*ret);
	*ret = bh_asprintf("00:16:3e:%02x:%02x:%02x", b[0] & 0x7f, b[1], b[2]);
	return *ret ? 0 : oom();
}

static int check_addr(int family, const char *what, const char *s, bool prefix,
		      bool *ret_has_prefix)
{
	_cleanup_free_ char *copy = strdup(s);
	unsigned char raw[16];
	unsigned long plen = 0;
	char *slash;

	if (!copy)
		return oom();
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = 0;
	if (inet_pton(family, copy, raw) != 1 || (slash && !prefix) ||
	    (slash && (bh_parse_u64(slash, 10, family == AF_INET ? 32 : 128,
				    &plen) < 0 ||
		       plen == 0)))
		return fail(
			VMB_USAGE, "%s \"%s\": expected an %s address%s", what,
			s, family == AF_INET ? "IPv4" : "IPv6",
			prefix ? ", as in \"192.0.2.5/24\" or \"2001:db8::5/64\""
			       : "");
	if (ret_has_prefix)
		*ret_has_prefix = slash != NULL;
	return 0;
}

static int set_netmask(struct nic *nic, const char *value)
{
	struct in_addr a;
	unsigned int plen = 0;
	uint32_t m;
	char *ip;

	if (inet_pton(AF_INET, value, &a) != 1)
		return fail(VMB_USAGE,
			    "netmask \"%s\": expected as in 255.255.255.0",
			    value);
	m = ntohl(a.s_addr);
	while (plen < 32 && m & (0x80000000u >> plen))
		plen++;
	if (plen == 0 || (plen < 32 && m << plen))
		return fail(VMB_USAGE, "netmask \"%s\": its bits have a hole",
			    value);
	if (!nic->ip4 || strchr(nic->ip4, '/'))
		return 0;
	ip = bh_asprintf("%s/%u", nic->ip4, plen);
	if (!ip)
		return oom();
	free(nic->ip4);
	nic->ip4 = ip;
	return 0;
}

static int set_ip(struct nic *nic, const char *value)
{
	if (streq(value, "dhcp")) {
		nic->dhcp = true;
		return 0;
	}
	if (streq(value, "none")) {
		nic->none = true;
		return 0;
	}
	if (strchr(value, ':')) {
		if (check_addr(AF_INET6, "ip", value, true, NULL) < 0)
			return -VMB_USAGE;
		return replace(&nic->ip6, value);
	}
	if (check_addr(AF_INET, "ip", value, true, NULL) < 0)
		return -VMB_USAGE;
	return replace(&nic->ip4, value);
}

static int set_gateway(struct nic *nic, const char *value)
{
	bool six = strchr(value, ':') != NULL;

	if (check_addr(six ? AF_INET6 : AF_INET, "gateway", value, false,
		       NULL) < 0)
		return -VMB_USAGE;
	return replace(six ? &nic->gw6 : &nic->gw4, value);
}

int nic_set(struct nic *nic, const char *key, const char *value)
{
	unsigned long v;

	if (streq(key, "bridge")) {
		if (name_check_bridge(value) < 0)
			return -VMB_USAGE;
		return replace(&nic->bridge, value);
	}
	if (streq(key, "mac"))
		return parse_mac(value, &nic->mac);
	if (streq(key, "ip") || streq(key, "ip6"))
		return set_ip(nic, value);
	if (streq(key, "gateway") || streq(key, "gateway6"))
		return set_gateway(nic, value);
	if (streq(key, "netmask"))
		return set_netmask(nic, value);
	if (streq(key, "dns")) {
		if (check_addr(strchr(value, ':') ? AF_INET6 : AF_INET, "dns",
			       value, false, NULL) < 0)
			return -VMB_USAGE;
		return strv_add(&nic->dns, value) < 0 ? oom() : 0;
	}
	if (streq(key, "vlan")) {
		if (bh_parse_u64(value, 10, 4094, &v) < 0 || v == 0)
			return fail(VMB_USAGE,
				    "vlan \"%s\": expected 1 to 4094", value);
		nic->vlan = (unsigned int)v;
		return 0;
	}
	return fail(
		VMB_USAGE,
		"network setting \"%s\": use bridge, mac, ip, ip6, gateway, netmask, dns, vlan",
		key);
}

int nic_parse(const char *text, struct nic *ret)
{
	_cleanup_free_ char *copy = strdup(text);
	char *save = NULL;
	const char *mask = NULL;

	if (!copy)
		return oom();
	for (char *t = strtok_r(copy, ",", &save); t;
	     t = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(t, '=');

		if (!eq)
			return fail(
				VMB_USAGE,
				"--nic %s: expected key=value, found \"%s\"",
				text, t);
		*eq = 0;
		/* The mask needs the address, whatever the order. */
		if (streq(t, "netmask"))
			mask = eq + 1;
		else if (nic_set(ret, t, eq + 1) < 0)
			return -VMB_USAGE;
	}
	return mask ? nic_set(ret, "netmask", mask) : 0;
}

bool nic_is_bridge(const char *name)
{
	_cleanup_free_ char *p = bh_asprintf("/sys/class/net/%s/bridge", name);

	return p && access(p, F_OK) == 0;
}

static int default_bridge(char **ret)
{
	static const char *const known[] = { "bulkhead0", "xenbr0", "br0" };
	const char *c = conf_get("bridge");
	struct dirent *de;
	DIR *d;

	if (c)
		return replace(ret, c);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (nic_is_bridge(known[i]))
			return replace(ret, known[i]);
	d = opendir("/sys/class/net");
	while (d && !*ret && (de = readdir(d)))
		if (*de->d_name != '.' && nic_is_bridge(de->d_name) &&
		    !bh_startswith(de->d_name, "docker") &&
		    !bh_startswith(de->d_name, "virbr"))
			*ret = strdup(de->d_name);
	if (d)
		closedir(d);
	if (*ret)
		return 0;
	return fail(
		VMB_MISSING,
		"this host has no network bridge for the guest; make one (bulkhead-setup), name one with --bridge, or use --no-network");
}

int nic_finish(struct nic *nic)
{
	if (!nic->bridge && default_bridge(&nic->bridge) < 0)
		return -VMB_MISSING;
	if (!nic->mac && mac_random(&nic->mac) < 0)
		return -VMB_FAILED;
	if (nic->none && (nic->ip4 || nic->ip6 || nic->dhcp))
		return fail(VMB_USAGE,
			    "ip=none and another address exclude each other");
	if (nic->ip4 && !nic->dhcp && conf_get("netmask") &&
	    set_netmask(nic, conf_get("netmask")) < 0)
		return -VMB_USAGE;
	if (nic->ip4 && !strchr(nic->ip4, '/'))
		return fail(
			VMB_USAGE,
			"ip \"%s\": the prefix length is missing, as in %s/24 (or --netmask)",
			nic->ip4, nic->ip4);
	if (nic->ip6 && !strchr(nic->ip6, '/'))
		return fail(
			VMB_USAGE,
			"ip \"%s\": the prefix length is missing, as in %s/64",
			nic->ip6, nic->ip6);
	if (nic->gw4 && !nic->ip4)
		return fail(VMB_USAGE, "gateway %s needs a static --ip",
			    nic->gw4);
	if (nic->gw6 && !nic->ip6)
		return fail(VMB_USAGE, "gateway %s needs a static IPv6 address",
			    nic->gw6);
	if (!nic->ip4 && !nic->ip6 && !nic->none)
		nic->dhcp = true;
	return 0;
}

static int nic_afresh(const struct nic *s, const struct nic_wish *w,
		      struct nic *n)
{
	int r = 0;

	if (w->bridge || s->bridge)
		r = nic_set(n, "bridge", w->bridge ? w->bridge : s->bridge);
	if (r >= 0 && w->ip)
		r = nic_set(n, "ip", w->ip);
	else if (r >= 0 && s->none)
		r = nic_set(n, "ip", "none");
	if (r >= 0 && w->gateway)
		r = nic_set(n, "gateway", w->gateway);
	if (r >= 0 && n->ip4 && !n->gw4 && s->gw4)
		r = nic_set(n, "gateway", s->gw4);
	if (r >= 0 && n->ip6 && !n->gw6 && s->gw6)
		r = nic_set(n, "gateway", s->gw6);
	for (size_t k = 0; r >= 0 && k < s->dns.n; k++)
		r = nic_set(n, "dns", s->dns.v[k]);
	n->vlan = s->vlan;
	if (r >= 0 && s->more)
		r = replace(&n->more, s->more);
	return r < 0 ? r : nic_finish(n);
}

int nics_afresh(const struct nic *src, size_t n, const struct nic_wish *wish,
		struct nic *ret)
{
	static const struct nic_wish nothing;
	int r = 0;

	if (!n && (wish->ip || wish->gateway || wish->bridge))
		return fail(
			VMB_USAGE,
			"the original has no interface for --ip, --gateway or --bridge");
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = nic_afresh(&src[i], i ? &nothing : wish, &ret[i]);
	return r;
}

void nic_done(struct nic *nic)
{
	free(nic->bridge);
	free(nic->mac);
	free(nic->ip4);
	free(nic->gw4);
	free(nic->ip6);
	free(nic->gw6);
	free(nic->more);
	strv_done(&nic->dns);
	memset(nic, 0, sizeof(*nic));
}
