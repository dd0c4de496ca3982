/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's network interfaces: what the command line says about them, and
 * the files that make the guest's own network tools do it. The interface is
 * always found by its MAC address; kernels name it eth0, enX0 or something
 * else, and rename it between releases.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

#define MAX_NICS 8

struct nic {
	char *bridge, *mac;
	bool dhcp, none; /* none: up, but no address from us */
	char *ip4, *gw4; /* "10.0.0.5/24" */
	char *ip6, *gw6;
	struct strv dns;
	char *more;        /* other settings of the .cfg; not stored */
	unsigned int vlan; /* tagged inside the guest; 0: not */
};

/* "bridge=br0,ip=10.0.0.5/24,gateway=10.0.0.1,dns=1.1.1.1,vlan=12,mac=.." */
int nic_parse(const char *text, struct nic *ret);
/* Setters check their value. nic_set knows ip, ip6, gateway, netmask, ... */
int nic_set(struct nic *nic, const char *key, const char *value);
/* Fills in what is missing and checks the whole. */
int nic_finish(struct nic *nic);
void nic_done(struct nic *nic);
/*
 * Interfaces for a copy of a guest: the same networks, but new MAC addresses,
 * and no static address, which cannot be in two places. What is wished (members
 * may be NULL) is for the first.
 */
struct nic_wish {
	const char *ip, *gateway, *bridge;
};
int nics_afresh(const struct nic *src, size_t n, const struct nic_wish *wish,
		struct nic *ret);
int mac_random(char **ret);
bool nic_is_bridge(const char *name);

enum netstyle {
	NET_NONE,
	NET_NETWORKD,
	NET_IFUPDOWN,
	NET_IFUPDOWN_ETH, /* where no udev gives names: eth0, eth1 */
	NET_NM,
	NET_NETPLAN,
	NET_TINY
};
int netstyle_parse(const char *s, enum netstyle *ret);
const char *netstyle_name(enum netstyle s);

struct netfile {
	char *path, *text;
	unsigned int mode;
};
struct netfiles {
	struct netfile f[4 * MAX_NICS + 4];
	size_t n;
};
/* The files to write, as absolute paths in the guest. */
int netconf_render(enum netstyle style, const struct nic *nics, size_t n,
		   struct netfiles *ret);
void netfiles_done(struct netfiles *f);
