/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network configuration in the guest's own language, see nic.h. Pure text:
 * nothing here reads or writes a file, so every style has golden tests.
 * A VLAN is named after its interface too: two may carry the same number.
 */
#include "nic.h"

static const char *const style_names[] = {
	[NET_NONE] = "none",
	[NET_NETWORKD] = "networkd",
	[NET_IFUPDOWN] = "ifupdown",
	[NET_NM] = "networkmanager",
	[NET_NETPLAN] = "netplan",
	[NET_TINY] = "tiny",
	[NET_IFUPDOWN_ETH] = "ifupdown-eth",
};

int netstyle_parse(const char *s, enum netstyle *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(style_names); i++)
		if (streq(style_names[i], s)) {
			*ret = (enum netstyle)i;
			return 0;
		}
	return -1;
}

const char *netstyle_name(enum netstyle s)
{
	return style_names[s];
}

void netfiles_done(struct netfiles *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->f[i].path);
		free(f->f[i].text);
	}
	f->n = 0;
}

static int emit(struct netfiles *out, char *path, struct buf *text,
		unsigned int mode)
{
	if (!path || !text->s) {
		free(path);
		return oom();
	}
	out->f[out->n++] = (struct netfile){ path, TAKE_PTR(text->s), mode };
	text->n = text->cap = 0;
	return 0;
}

static void networkd_address(struct buf *b, const struct nic *n)
{
	buf_addf(b, "\n[Network]\n");
	if (n->dhcp)
		buf_addf(b, "DHCP=%s\n",
			 n->ip4   ? "ipv6"
			 : n->ip6 ? "ipv4"
				  : "yes");
	if (n->none)
		buf_addf(b, "LinkLocalAddressing=no\n");
	if (n->ip4)
		buf_addf(b, "Address=%s\n", n->ip4);
	if (n->ip6)
		buf_addf(b, "Address=%s\n", n->ip6);
	if (n->gw4)
		buf_addf(b, "Gateway=%s\n", n->gw4);
	if (n->gw6)
		buf_addf(b, "Gateway=%s\n", n->gw6);
	for (size_t i = 0; i < n->dns.n; i++)
		buf_addf(b, "DNS=%s\n", n->dns.v[i]);
	if (n->dhcp)
		buf_addf(b, "\n[DHCPv4]\nClientIdentifier=mac\n");
}

static int render_networkd(const struct nic *n, size_t i, struct netfiles *out)
{
	_cleanup_buf_ struct buf b = { 0 };

	buf_addf(&b, "# Written by vm-bootstrap.\n[Match]\nMACAddress=%s\n",
		 n->mac);
	/* A VLAN interface has the same address; match only the real one. */
	if (n->vlan) {
		buf_addf(
			&b,
			"Type=ether\nKind=!*\n\n[Network]\nVLAN=net%zu.%u\nLinkLocalAddressing=no\n",
			i, n->vlan);
	} else {
		networkd_address(&b, n);
	}
	if (emit(out,
		 bh_asprintf("/etc/systemd/network/10-bulkhead%zu.network", i),
		 &b, 0644) < 0)
		return -VMB_FAILED;
	if (!n->vlan)
		return 0;
	buf_addf(
		&b,
		"# Written by vm-bootstrap.\n[NetDev]\nName=net%zu.%u\nKind=vlan\n\n[VLAN]\nId=%u\n",
		i, n->vlan, n->vlan);
	if (emit(out,
		 bh_asprintf("/etc/systemd/network/09-bulkhead%zu.netdev", i),
		 &b, 0644) < 0)
		return -VMB_FAILED;
	buf_addf(&b, "# Written by vm-bootstrap.\n[Match]\nName=net%zu.%u\n", i,
		 n->vlan);
	networkd_address(&b, n);
	return emit(
		out,
		bh_asprintf("/etc/systemd/network/09-bulkhead%zu.network", i),
		&b, 0644);
}

static void ifupdown_stanza(struct buf *b, const struct nic *n,
			    const char *base, size_t i)
{
	_cleanup_free_ char *dev =
		n->vlan ? bh_asprintf("%s%zu.%u", base, i, n->vlan)
			: bh_asprintf("%s%zu", base, i);

	buf_addf(b, "\nauto %s\n", dev);
	if (n->dhcp && !n->ip4)
		buf_addf(b, "iface %s inet dhcp\n", dev);
	else if (n->ip4)
		buf_addf(b, "iface %s inet static\n\taddress %s\n", dev,
			 n->ip4);
	else
		buf_addf(b, "iface %s inet manual\n", dev);
	if (n->gw4)
		buf_addf(b, "\tgateway %s\n", n->gw4);
	if (n->vlan)
		buf_addf(b, "\tvlan-raw-device %s%zu\n", base, i);
	if (n->dns.n) {
		buf_addf(b, "\tdns-nameservers");
		for (size_t k = 0; k < n->dns.n; k++)
			buf_addf(b, " %s", n->dns.v[k]);
		buf_addf(b, "\n");
	}
	if (n->ip6) {
		buf_addf(b, "iface %s inet6 static\n\taddress %s\n", dev,
			 n->ip6);
		if (n->gw6)
			buf_addf(b, "\tgateway %s\n", n->gw6);
	}
}

/* ifupdown knows names only, so udev gives each address a name of ours. Without
 * udev (Alpine) the kernel's stay, which are in the order of the interfaces. */
static int render_ifupdown(const struct nic *nics, size_t n, bool udev,
			   struct netfiles *out)
{
	_cleanup_buf_ struct buf b = { 0 }, rules = { 0 };

	buf_addf(
		&b,
		"# Written by vm-bootstrap%s.\nauto lo\niface lo inet loopback\n",
		udev ? "; net0.. are named by MAC address in\n"
		       "# /etc/udev/rules.d/70-bulkhead-net.rules"
		     : "");
	buf_addf(&rules, "# Written by vm-bootstrap.\n");
	for (size_t i = 0; i < n; i++) {
		buf_addf(
			&rules,
			"SUBSYSTEM==\"net\", ACTION==\"add\", ATTR{type}==\"1\", DRIVERS==\"?*\", ATTR{address}==\"%s\", NAME=\"net%zu\"\n",
			nics[i].mac, i);
		ifupdown_stanza(&b, &nics[i], udev ? "net" : "eth", i);
	}
	if (emit(out, strdup("/etc/network/interfaces"), &b, 0644) < 0)
		return -VMB_FAILED;
	if (!udev)
		return 0;
	return emit(out, strdup("/etc/udev/rules.d/70-bulkhead-net.rules"),
		    &rules, 0644);
}

static void nm_ip(struct buf *b, const char *section, const char *ip,
		  const char *gw, bool dhcp, bool off, const struct nic *n)
{
	bool six = streq(section, "ipv6"), any = false;

	buf_addf(b, "\n[%s]\nmethod=%s\n", section,
		 ip     ? "manual"
		 : dhcp ? "auto"
		 : off  ? "disabled"
		 : six  ? "auto"
			: "disabled");
	if (ip)
		buf_addf(b, "address1=%s%s%s\n", ip, gw ? "," : "",
			 gw ? gw : "");
	for (size_t i = 0; i < n->dns.n; i++) {
		if ((strchr(n->dns.v[i], ':') != NULL) != six)
			continue;
		buf_addf(b, "%s%s;", any ? "" : "dns=", n->dns.v[i]);
		any = true;
	}
	if (any)
		buf_addf(b, "\n");
}

static int render_nm(const struct nic *n, size_t i, struct netfiles *out)
{
	_cleanup_buf_ struct buf b = { 0 };

	buf_addf(&b,
		 "# Written by vm-bootstrap.\n[connection]\nid=bulkhead%zu\n",
		 i);
	if (n->vlan)
		buf_addf(
			&b,
			"type=vlan\ninterface-name=net%zu.%u\n\n[vlan]\nid=%u\n\n[ethernet]\nmac-address=%s\n",
			i, n->vlan, n->vlan, n->mac);
	else
		buf_addf(&b, "type=ethernet\n\n[ethernet]\nmac-address=%s\n",
			 n->mac);
	nm_ip(&b, "ipv4", n->ip4, n->gw4, n->dhcp, n->none, n);
	nm_ip(&b, "ipv6", n->ip6, n->gw6, n->dhcp, n->none, n);
	return emit(
		out,
		bh_asprintf(
			"/etc/NetworkManager/system-connections/bulkhead%zu.nmconnection",
			i),
		&b, 0600);
}

static void netplan_address(struct buf *b, const struct nic *n)
{
	buf_addf(b, "      dhcp4: %s\n      dhcp6: %s\n",
		 n->dhcp && !n->ip4 ? "true" : "false",
		 n->dhcp && !n->ip6 ? "true" : "false");
	if (n->dhcp)
		buf_addf(b, "      dhcp-identifier: mac\n");
	if (n->ip4 || n->ip6)
		buf_addf(b, "      addresses:\n");
	if (n->ip4)
		buf_addf(b, "        - \"%s\"\n", n->ip4);
	if (n->ip6)
		buf_addf(b, "        - \"%s\"\n", n->ip6);
	if (n->gw4 || n->gw6)
		buf_addf(b, "      routes:\n");
	if (n->gw4)
		buf_addf(b,
			 "        - to: \"0.0.0.0/0\"\n          via: \"%s\"\n",
			 n->gw4);
	if (n->gw6)
		buf_addf(b, "        - to: \"::/0\"\n          via: \"%s\"\n",
			 n->gw6);
	if (n->dns.n)
		buf_addf(b, "      nameservers:\n        addresses:\n");
	for (size_t i = 0; i < n->dns.n; i++)
		buf_addf(b, "          - \"%s\"\n", n->dns.v[i]);
}

static int render_netplan(const struct nic *nics, size_t n,
			  struct netfiles *out)
{
	_cleanup_buf_ struct buf b = { 0 };
	bool vlans = false;

	buf_addf(&b, "# Written by vm-bootstrap.\nnetwork:\n  version: 2\n%s",
		 n ? "  ethernets:\n" : "");
	for (size_t i = 0; i < n; i++) {
		buf_addf(
			&b,
			"    net%zu:\n      match:\n        macaddress: \"%s\"\n",
			i, nics[i].mac);
		if (nics[i].vlan)
			vlans = true;
		else
			netplan_address(&b, &nics[i]);
	}
	if (vlans)
		buf_addf(&b, "  vlans:\n");
	for (size_t i = 0; i < n; i++) {
		if (!nics[i].vlan)
			continue;
		buf_addf(&b,
			 "    net%zu.%u:\n      id: %u\n      link: net%zu\n",
			 i, nics[i].vlan, nics[i].vlan, i);
		netplan_address(&b, &nics[i]);
	}
	return emit(out, strdup("/etc/netplan/10-bulkhead.yaml"), &b, 0600);
}

/* One line an interface: MAC VLAN IP4 GW4 IP6 GW6 DNS,DNS ("-": none). */
static int render_tiny(const struct nic *nics, size_t n, struct netfiles *out)
{
	_cleanup_buf_ struct buf b = { 0 };

	buf_addf(&b,
		 "# mac vlan ip4 gw4 ip6 gw6 dns; written by vm-bootstrap\n");
	for (size_t i = 0; i < n; i++) {
		const struct nic *c = &nics[i];

		buf_addf(&b, "%s %u %s %s %s %s ", c->mac, c->vlan,
			 c->ip4    ? c->ip4
			 : c->dhcp ? "dhcp"
				   : "-",
			 c->gw4 ? c->gw4 : "-", c->ip6 ? c->ip6 : "-",
			 c->gw6 ? c->gw6 : "-");
		for (size_t k = 0; k < c->dns.n; k++)
			buf_addf(&b, "%s%s", k ? "," : "", c->dns.v[k]);
		buf_addf(&b, "%s\n", c->dns.n ? "" : "-");
	}
	return emit(out, strdup("/etc/bulkhead-net"), &b, 0644);
}

int netconf_render(enum netstyle style, const struct nic *nics, size_t n,
		   struct netfiles *ret)
{
	int r = 0;

	ret->n = 0;
	switch (style) {
	case NET_NONE:
		return 0;
	case NET_NETWORKD:
		for (size_t i = 0; r >= 0 && i < n; i++)
			r = render_networkd(&nics[i], i, ret);
		break;
	case NET_NM:
		for (size_t i = 0; r >= 0 && i < n; i++)
			r = render_nm(&nics[i], i, ret);
		break;
	case NET_IFUPDOWN:
	case NET_IFUPDOWN_ETH:
		r = render_ifupdown(nics, n, style == NET_IFUPDOWN, ret);
		break;
	case NET_NETPLAN:
		r = render_netplan(nics, n, ret);
		break;
	case NET_TINY:
		r = render_tiny(nics, n, ret);
		break;
	}
	if (r < 0)
		netfiles_done(ret);
	return r;
}
