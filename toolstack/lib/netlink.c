/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few rtnetlink and ethtool requests that a guest's interface needs.
 */
#include "bulkhead/domstore.h"

#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

BH_DEFINE_CLEANUP(struct mnl_socket *, mnl_socket_close);

static int transact(struct nlmsghdr *nlh)
{
	_cleanup_(mnl_socket_close_cleanup) struct mnl_socket *s = NULL;
	char buf[8192];
	ssize_t n;

	s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	nlh->nlmsg_seq = (uint32_t)time(NULL);
	if (mnl_socket_sendto(s, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(s, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	if (mnl_cb_run(buf, (size_t)n, nlh->nlmsg_seq, mnl_socket_get_portid(s),
		       NULL, NULL) < 0)
		return -errno;
	return 0;
}

static struct nlmsghdr *setlink(char *buf, unsigned int index,
				unsigned int flags, unsigned int change)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifm;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ifm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifm));
	ifm->ifi_family = AF_UNSPEC;
	ifm->ifi_index = (int)index;
	ifm->ifi_flags = flags;
	ifm->ifi_change = change;
	return nlh;
}

int bh_link_configure(const struct bh_link *l, struct bh_err *e)
{
	static const uint8_t backend_mac[6] = { 0xfe, 0xff, 0xff,
						0xff, 0xff, 0xff };
	unsigned int index = if_nametoindex(l->ifname), bridge = 0;
	char buf[1024];
	struct nlmsghdr *nlh;
	int r;

	if (!index && l->rename) {
		/* already renamed: we were here before */
		index = if_nametoindex(l->rename);
	}
	if (!index)
		return bh_fail(e, -ENODEV, "interface %s is missing",
			       l->ifname);
	if (l->bridge) {
		char path[64];
		struct stat st;

		bridge = if_nametoindex(l->bridge);
		if (!bridge ||
		    bh_snprintf(path, sizeof(path), "/sys/class/net/%s/bridge",
				l->bridge) < 0 ||
		    stat(path, &st) < 0)
			return bh_fail(
				e, -ENODEV, "%s %s", l->bridge,
				bridge ? "is not a bridge; name one with "
					 "bridge="
				       : "does not exist; create the bridge "
					 "or name another with bridge=");
	}
	nlh = setlink(buf, index, 0, IFF_UP);
	if (l->rename)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, l->rename);
	if (l->set_backend_mac)
		mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(backend_mac),
			     backend_mac);
	if (l->alias)
		mnl_attr_put_strz(nlh, IFLA_IFALIAS, l->alias);
	if (l->mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, l->mtu);
	r = transact(nlh);
	if (r < 0)
		return bh_fail(e, r, "%s: cannot set it up: %s", l->ifname,
			       r == -EEXIST ? "its vifname= is taken"
					    : strerror(-r));
	nlh = setlink(buf, index, l->up ? IFF_UP : 0, IFF_UP);
	if (bridge)
		mnl_attr_put_u32(nlh, IFLA_MASTER, bridge);
	r = transact(nlh);
	if (r < 0)
		return bh_fail(e, r, "%s: cannot join bridge %s: %s", l->ifname,
			       l->bridge ? l->bridge : "-", strerror(-r));
	return 0;
}

/* Packets sent to the guest then carry their checksum, whoever made them. */
int bh_link_checksum_off(const char *ifname)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value v = { .cmd = ETHTOOL_STXCSUM, .data = 0 };
	struct ifreq req = {};

	if (fd < 0)
		return -errno;
	(void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", ifname);
	req.ifr_data = (void *)&v;
	return ioctl(fd, SIOCETHTOOL, &req) < 0 ? -errno : 0;
}

int bh_default_bridge(char buf[16])
{
	static const char *const names[] = { "xenbr0", "br0", "virbr0" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];
		struct stat st;

		if (bh_snprintf(path, sizeof(path), "/sys/class/net/%s/bridge",
				names[i]) >= 0 &&
		    stat(path, &st) == 0) {
			memcpy(buf, names[i], strlen(names[i]) + 1);
			return 0;
		}
	}
	return -ENODEV;
}
