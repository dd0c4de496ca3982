/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests' interfaces: how they are described, and written for each kind of system.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* ours is another */
#include "nic.h"
#include "scratch.h"

static void nics(void **s __unused_arg)
{
	static const char *const bad[] = {
		"bridge=br0,ip=10.0.0.1",
		"ip=10.0.0.1/33,bridge=b",
		"ip=nope,bridge=b",
		"mac=1:2,bridge=b",
		"mac=01:00:00:00:00:00,bridge=b",
		"gateway=10.0.0.1,bridge=b",
		"vlan=0,bridge=b",
		"vlan=4095,bridge=b",
		"bridge=b/c",
		"what=1",
		"bridge",
		"ip=none,ip6=fd00::1/64,bridge=b",
		"ip=10.0.0.1,netmask=255.0.255.0,bridge=b",
		"dns=x,bridge=b",
		"ip=10.0.0.0/0,bridge=b",
	};
	struct nic n = { 0 };

	assert_int_equal(
		nic_parse("netmask=255.255.254.0,bridge=b,ip=10.0.0.1", &n), 0);
	assert_int_equal(nic_finish(&n), 0);
	assert_string_equal(n.ip4, "10.0.0.1/23");
	assert_true(bh_startswith(n.mac, "00:16:3e:"));
	assert_false(n.dhcp);
	nic_done(&n);
	assert_int_equal(nic_parse("bridge=b,mac=02:AB:00:00:00:01", &n), 0);
	assert_int_equal(nic_finish(&n), 0);
	assert_true(n.dhcp);
	assert_string_equal(n.mac, "02:ab:00:00:00:01");
	nic_done(&n);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int r = nic_parse(bad[i], &n);

		if (r >= 0)
			r = nic_finish(&n);
		assert_int_equal(r, -VMB_USAGE);
		nic_done(&n);
	}
}

static void expect_text(enum netstyle style, const struct nic *n, size_t k,
			const char *path, const char *const *parts)
{
	struct netfiles f;
	const char *text = NULL;

	assert_int_equal(netconf_render(style, n, k, &f), 0);
	for (size_t i = 0; i < f.n; i++)
		if (streq(f.f[i].path, path))
			text = f.f[i].text;
	assert_non_null(text);
	for (; *parts; parts++)
		if (!strstr(text, *parts)) {
			print_error("no \"%s\" in:\n%s", *parts, text);
			assert_true(false);
		}
	netfiles_done(&f);
}
#define EXPECT(style, n, k, path, ...) \
	expect_text(style, n, k, path, \
		    (const char *const[]){ __VA_ARGS__, NULL })

/* A copy has the networks, but nothing that there can be only one of. */
static void interfaces_of_a_copy(void **s __unused_arg)
{
	const struct nic_wish none = { 0 };
	const struct nic_wish wish = { "10.0.0.6/24", NULL, "br1" };
	struct nic src[2] = { 0 }, a[2] = { 0 }, b[2] = { 0 };

	assert_int_equal(
		nic_parse(
			"bridge=br0,mac=02:00:00:00:00:01,ip=10.0.0.5/24,gateway=10.0.0.1,dns=1.1.1.1,vlan=7",
			&src[0]),
		0);
	assert_int_equal(nic_parse("bridge=br2,ip=none", &src[1]), 0);
	assert_int_equal(nics_afresh(src, 2, &none, a), 0);
	assert_true(a[0].dhcp && !a[0].ip4 && !a[0].gw4 && a[0].vlan == 7);
	assert_string_not_equal(a[0].mac, src[0].mac);
	assert_string_equal(a[0].bridge, "br0");
	assert_true(a[1].none && !a[1].dhcp);
	assert_int_equal(nics_afresh(src, 2, &wish, b), 0);
	assert_string_equal(b[0].ip4, "10.0.0.6/24");
	assert_string_equal(b[0].gw4, "10.0.0.1");
	assert_string_equal(b[0].bridge, "br1");
	assert_string_equal(b[1].bridge, "br2");
	assert_int_equal(nics_afresh(src, 0, &wish, b), -VMB_USAGE);
	for (int i = 0; i < 2; i++) {
		nic_done(&src[i]);
		nic_done(&a[i]);
		nic_done(&b[i]);
	}
}

static void networks_in_every_style(void **s __unused_arg)
{
	struct nic n[2] = { 0 };

	assert_int_equal(
		nic_parse("bridge=b,mac=02:00:00:00:00:01,ip=10.0.0.5/24,"
			  "gateway=10.0.0.1,ip6=fd00::5/64,gateway=fd00::1,"
			  "dns=10.0.0.2",
			  &n[0]),
		0);
	assert_int_equal(
		nic_parse("bridge=b,mac=02:00:00:00:00:02,vlan=7", &n[1]), 0);
	assert_int_equal(nic_finish(&n[0]), 0);
	assert_int_equal(nic_finish(&n[1]), 0);
	EXPECT(NET_NETWORKD, n, 2, "/etc/systemd/network/10-bulkhead0.network",
	       "MACAddress=02:00:00:00:00:01", "Address=10.0.0.5/24",
	       "Address=fd00::5/64", "Gateway=10.0.0.1", "Gateway=fd00::1",
	       "DNS=10.0.0.2");
	EXPECT(NET_NETWORKD, n, 2, "/etc/systemd/network/10-bulkhead1.network",
	       "VLAN=net1.7");
	EXPECT(NET_NETWORKD, n, 2, "/etc/systemd/network/09-bulkhead1.network",
	       "Name=net1.7", "DHCP=yes");
	EXPECT(NET_IFUPDOWN, n, 2, "/etc/network/interfaces", "auto net0\n",
	       "address 10.0.0.5/24", "iface net0 inet6 static",
	       "auto net1.7\n", "vlan-raw-device net1",
	       "iface net1.7 inet dhcp");
	EXPECT(NET_IFUPDOWN, n, 2, "/etc/udev/rules.d/70-bulkhead-net.rules",
	       "ATTR{address}==\"02:00:00:00:00:01\", NAME=\"net0\"");
	EXPECT(NET_IFUPDOWN_ETH, n, 2, "/etc/network/interfaces", "auto eth0\n",
	       "auto eth1.7\n", "vlan-raw-device eth1\n");
	EXPECT(NET_NM, n, 2,
	       "/etc/NetworkManager/system-connections/bulkhead0.nmconnection",
	       "mac-address=02:00:00:00:00:01", "method=manual",
	       "address1=10.0.0.5/24,10.0.0.1", "dns=10.0.0.2;");
	EXPECT(NET_NETPLAN, n, 2, "/etc/netplan/10-bulkhead.yaml",
	       "macaddress: \"02:00:00:00:00:01\"", "- \"10.0.0.5/24\"",
	       "via: \"fd00::1\"", "    net1.7:\n      id: 7\n");
	/* Two of one number are two. */
	n[0].vlan = 7;
	EXPECT(NET_NETWORKD, n, 2, "/etc/systemd/network/09-bulkhead0.netdev",
	       "Name=net0.7\nKind=vlan\n\n[VLAN]\nId=7\n");
	EXPECT(NET_NM, n, 2,
	       "/etc/NetworkManager/system-connections/bulkhead1.nmconnection",
	       "interface-name=net1.7\n\n[vlan]\nid=7\n");
	EXPECT(NET_NETPLAN, n, 2, "/etc/netplan/10-bulkhead.yaml",
	       "    net0.7:\n", "    net1.7:\n");
	n[0].vlan = 0;
	EXPECT(NET_NETPLAN, n, 0, "/etc/netplan/10-bulkhead.yaml",
	       "version: 2\n");
	EXPECT(NET_TINY, n, 2, "/etc/bulkhead-net",
	       "02:00:00:00:00:01 0 10.0.0.5/24 10.0.0.1 fd00::5/64 fd00::1 10.0.0.2\n",
	       "02:00:00:00:00:02 7 dhcp - - - -\n");
	nic_done(&n[0]);
	nic_done(&n[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nics),
		cmocka_unit_test(interfaces_of_a_copy),
		cmocka_unit_test(networks_in_every_style),
	};

	return cmocka_run_group_tests_name("network", tests, enter, leave);
}
