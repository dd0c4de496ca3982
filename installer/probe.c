/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this machine is, and whether it can be a host. `--check` prints the
 * findings; package scripts run it before an upgrade.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bulkhead/run.h>
#include <bulkhead/util.h>

#include "setup.h"

static void probe_memory(struct host *h)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	char *p;

	if (bh_read_file("/proc/meminfo", 65536, &text, &len))
		return;
	p = strstr(text, "MemTotal:");
	if (p)
		h->ram_mib = strtoull(p + 9, NULL, 10) >> 10;
}

/* Under Xen or Bulkhead dom0 sees only its own share: ask the hypervisor. */
static void probe_hypervisor(struct host *h)
{
	static const char *const argv[] = { "bhctl", "info", "--json", NULL };
	_cleanup_free_ char *text = NULL;
	char *p;

	if (access("/sys/hypervisor/type", F_OK) || !bh_have_program("bhctl") ||
	    run_output(argv, &text))
		return;
	p = strstr(text, "\"total_mib\":");
	if (p)
		h->ram_mib = strtoull(strchr(p, ':') + 1, NULL, 10);
	p = strstr(text, "\"cpus\":");
	if (p)
		h->cpus = strtoul(strchr(p, ':') + 1, NULL, 10);
}

static void probe_route(struct host *h)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	size_t len;

	if (bh_read_file("/proc/net/route", 1 << 20, &text, &len))
		return;
	for (char *l = strtok_r(text, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save)) {
		unsigned int dst, gw;
		char dev[16];

		if (sscanf(l, "%15s %x %x", dev, &dst, &gw) != 3 || dst || !gw)
			continue;
		snprintf(h->default_nic, sizeof(h->default_nic), "%s", dev);
		snprintf(h->gateway, sizeof(h->gateway), "%u.%u.%u.%u",
			 gw & 255, gw >> 8 & 255, gw >> 16 & 255, gw >> 24);
		return;
	}
}

static bool unit_active(const char *unit)
{
	const char *const argv[] = { "systemctl", "is-active", "-q", unit,
				     NULL };
	_cleanup_free_ char *out = NULL;

	return bh_have_program("systemctl") && !run_output(argv, &out);
}

static void probe_manager(struct host *h)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (unit_active("NetworkManager.service"))
		h->manager = NET_NM;
	else if (unit_active("systemd-networkd.service"))
		h->manager = NET_NETWORKD;
	else if (!bh_read_file("/etc/network/interfaces", 1 << 20, &text,
			       &len) &&
		 bh_have_program("ifup"))
		h->manager = NET_IFUPDOWN;
}

static bool secure_boot(void)
{
	_cleanup_free_ char *v = NULL;
	size_t len;

	return !bh_read_file("/sys/firmware/efi/efivars/SecureBoot-8be4df61-"
			     "93ca-11d2-aa0d-00e098032b8c",
			     64, &v, &len) &&
	       len == 5 && v[4] == 1;
}

void probe_host(struct host *h)
{
	struct utsname u;

	memset(h, 0, sizeof(*h));
	h->x86_64 = !uname(&u) && streq(u.machine, "x86_64");
	h->efi = !access("/sys/firmware/efi", F_OK);
	h->secure_boot = h->efi && secure_boot();
	h->cpus = sysconf(_SC_NPROCESSORS_CONF);
	probe_memory(h);
	probe_hypervisor(h);
	probe_route(h);
	probe_manager(h);
	snprintf(h->grub_dir, sizeof(h->grub_dir), "%s",
		 !access("/boot/grub2/grub.cfg", F_OK) ? "/boot/grub2"
						       : "/boot/grub");
}

static int check_boot(const struct host *h)
{
	struct statvfs fs;
	char cfg[64];
	int bad = 0;

	snprintf(cfg, sizeof(cfg), "%s/grub.cfg", h->grub_dir);
	if (access(cfg, F_OK)) {
		report(R_BAD,
		       "no %s: Bulkhead boots through GRUB 2; install "
		       "grub-pc or grub-efi-amd64",
		       cfg);
		bad++;
	} else {
		report(R_GOOD, "boots with GRUB on %s",
		       h->efi ? "UEFI" : "BIOS");
	}
	if (h->secure_boot) {
		report(R_BAD, "Secure Boot is on: it would refuse the "
			      "hypervisor; switch it off in the firmware");
		bad++;
	}
	if (!statvfs("/boot", &fs)) {
		unsigned long mib = fs.f_bavail * (fs.f_frsize >> 10) >> 10;

		report(mib < 100 ? R_BAD : R_GOOD, "/boot has %lu MiB free%s",
		       mib,
		       mib < 100 ? "; 100 are needed: apt autoremove" : "");
		bad += mib < 100;
	}
	return bad;
}

int check_host(const struct host *h)
{
	static const char *const managers[] = { "none that is known",
						"systemd-networkd",
						"NetworkManager", "ifupdown" };
	int bad = 0;

	report(h->x86_64 ? R_GOOD : R_BAD, "processor: %u x %s", h->cpus,
	       h->x86_64 ? "x86-64" : "not x86-64; Bulkhead needs x86-64");
	bad += !h->x86_64;
	report(h->ram_mib >= 900 ? R_GOOD : R_BAD, "memory: %llu MiB%s",
	       (unsigned long long)h->ram_mib,
	       h->ram_mib >= 900 ? "" : "; at least 1 GiB is needed");
	bad += h->ram_mib < 900;
	bad += check_boot(h);
	report(h->default_nic[0] ? R_GOOD : R_WARN,
	       "network: %s, default route "
	       "through %s",
	       managers[h->manager],
	       h->default_nic[0] ? h->default_nic : "no interface");
	if (!bh_have_program("lvs")) {
		report(R_BAD, "lvm2 is not installed");
		bad++;
	}
	return bad;
}
