/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is this host well? Network as before, the store answering, every guest that
 * should have started running, and whatever the administrator put into
 * /etc/bulkhead/health.d. Checks are repeated until they all pass or the time
 * is over: services may still be starting.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <bulkhead/run.h>
#include <bulkhead/util.h>

#include "bootset.h"

/*
 * Does the gateway answer? A datagram makes the kernel ask for its hardware
 * address; an answer is a complete entry in the ARP table. Interfaces without
 * ARP cannot be asked and pass.
 */
static bool gateway_answers(const char *dev, uint32_t gw)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr.s_addr = gw };
	_cleanup_free_ char *arp = NULL;
	char addr[INET_ADDRSTRLEN], *save = NULL;
	struct ifreq ifr = { 0 };
	size_t len;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.15s", dev);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return false;
	if (!gw || ifr.ifr_flags & (IFF_NOARP | IFF_POINTOPOINT))
		return true;
	(void)sendto(fd, "", 1, 0, (struct sockaddr *)&sa, sizeof(sa));
	sleep(1);
	if (bh_read_file("/proc/net/arp", 1 << 20, &arp, &len))
		return false;
	for (char *l = strtok_r(arp, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save)) {
		char ip[64];
		unsigned int type, flags;

		if (sscanf(l, "%63s %x %x", ip, &type, &flags) == 3 &&
		    streq(ip, inet_ntop(AF_INET, &sa.sin_addr, addr,
					sizeof(addr))) &&
		    flags & ATF_COM)
			return true;
	}
	return false;
}

/* A default route, IPv4 with a gateway that answers, or IPv6 not to lo. */
static bool network_up(char *why, size_t size)
{
	_cleanup_free_ char *v4 = NULL, *v6 = NULL;
	char *save = NULL;
	size_t len;

	snprintf(why, size, "no default route: the network is down");
	if (!bh_read_file("/proc/net/route", 1 << 20, &v4, &len))
		for (char *l = strtok_r(v4, "\n", &save); l;
		     l = strtok_r(NULL, "\n", &save)) {
			char dev[64];
			unsigned int dst, gw, flags;

			if (sscanf(l, "%63s %x %x %x", dev, &dst, &gw,
				   &flags) != 4 ||
			    dst || !(flags & RTF_UP))
				continue;
			if (gateway_answers(dev, gw))
				return true;
			snprintf(why, size,
				 "the gateway of %s does not answer: "
				 "the network is down",
				 dev);
		}
	save = NULL;
	if (!bh_read_file("/proc/net/ipv6_route", 1 << 20, &v6, &len))
		for (char *l = strtok_r(v6, "\n", &save); l;
		     l = strtok_r(NULL, "\n", &save))
			if (bh_startswith(l, "00000000000000000000000000000000 "
					     "00 ") &&
			    !bh_endswith(l, " lo"))
				return true;
	return false;
}

static bool store_up(void)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX,
				  .sun_path = "/run/xenstored/socket" };

	return fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof(sa));
}

/* Enabled guests are the links systemctl enable made. */
static bool guests_up(char *why, size_t size)
{
	DIR *d = opendir("/etc/systemd/system/bulkhead-guests.target.wants");
	struct dirent *e;
	bool ok = true;

	while (d && ok && (e = readdir(d))) {
		const char *const argv[] = { "systemctl", "is-active", "-q",
					     e->d_name, NULL };

		if (!bh_startswith(e->d_name, "bulkhead-guest@"))
			continue;
		ok = !bh_run(argv, BH_RUN_TIED, NULL, NULL);
		if (!ok)
			snprintf(why, size, "%s is not running", e->d_name);
	}
	if (d)
		closedir(d);
	return ok;
}

static bool extra_checks(char *why, size_t size)
{
	const char *dir = "/etc/bulkhead/health.d";
	DIR *d = opendir(dir);
	struct dirent *e;
	bool ok = true;

	while (d && ok && (e = readdir(d))) {
		char path[PATH_MAX];
		const char *const argv[] = { path, NULL };

		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] == '.' || access(path, X_OK))
			continue;
		ok = !bh_run(argv, BH_RUN_TIED, NULL, NULL);
		if (!ok)
			snprintf(why, size, "check %s failed", path);
	}
	if (d)
		closedir(d);
	return ok;
}

static bool once(const struct settings *s, char *why, size_t size)
{
	if (access("/proc/xen/capabilities", F_OK) &&
	    access("/sys/hypervisor/type", F_OK)) {
		snprintf(why, size, "not running on a hypervisor");
		return false;
	}
	if (s->network && !network_up(why, size))
		return false;
	if (!store_up()) {
		snprintf(why, size,
			 "the store does not answer on "
			 "/run/xenstored/socket");
		return false;
	}
	return guests_up(why, size) && extra_checks(why, size);
}

int health_check(const struct settings *s, char *why, size_t size)
{
	uint64_t end = bh_now_us() + s->timeout * 1000000ULL;

	while (!once(s, why, size)) {
		if (bh_now_us() >= end)
			return -ETIMEDOUT;
		sleep(2);
	}
	return 0;
}

void notify_admin(const char *text)
{
	_cleanup_free_ char *motd =
		bh_asprintf("\n*** Bulkhead: %s\n"
			    "*** See: bhctl boot status\n\n",
			    text);
	char path[PATH_MAX];

	bh_log(BH_ERR, "%s", text);
	if (motd &&
	    !bh_mkdir_p(root_path(path, sizeof(path), "/run/motd.d"), 0755) &&
	    bh_write_file(
		    root_path(path, sizeof(path), "/run/motd.d/50-bulkhead"),
		    motd, strlen(motd), 0644))
		bh_log(BH_WARNING, "cannot write %s", path);
}
