/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The built-in template "tiny": a static busybox, an init of a screenful and
 * the ready mark. It needs nothing but what the host has, so it is also the
 * first thing to try when something is wrong with everything else.
 */
#define _GNU_SOURCE
#include "fill.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <bulkhead/run.h>

#include "fs.h"

static const char rc_script[] =
	"#!/bin/sh\n"
	"# What a tiny guest does at boot, once. Made by vm-bootstrap.\n"
	"PATH=/sbin:/bin:/usr/sbin:/usr/bin; export PATH\n"
	"mount -t proc proc /proc 2>/dev/null\n"
	"mount -t sysfs sysfs /sys 2>/dev/null\n"
	"[ -c /dev/hvc0 ] || mount -t devtmpfs devtmpfs /dev\n"
	"mkdir -p /dev/pts /dev/shm\n"
	"mount -t devpts devpts /dev/pts 2>/dev/null\n"
	"mount -t tmpfs -o mode=755 tmpfs /run\n"
	"mount -t tmpfs tmpfs /tmp\n"
	"mount -o remount,rw /\n"
	"hostname -F /etc/hostname\n"
	"[ -b /dev/xvdb ] && swapon /dev/xvdb 2>/dev/null\n"
	"ip link set lo up\n"
	"[ -f /etc/bulkhead-net ] && /etc/rc.net\n"
	"[ -x /etc/rc.local ] && /etc/rc.local\n"
	"echo \"$(hostname): ready\" >/dev/console\n"
	"/sbin/bulkhead-ready\n";

static const char net_script[] =
	"#!/bin/sh\n"
	"# Reads /etc/bulkhead-net: mac vlan ip4 gw4 ip6 gw6 dns (\"-\": none).\n"
	"while read -r mac vlan ip4 gw4 ip6 gw6 dns; do\n"
	"\tcase $mac in '#'*|'') continue;; esac\n"
	"\tdev=\n"
	"\tfor t in 1 2 3 4 5; do\n"
	"\t\tfor d in /sys/class/net/*; do\n"
	"\t\t\t[ \"$(cat $d/address 2>/dev/null)\" = \"$mac\" ] && dev=${d##*/} && break\n"
	"\t\tdone\n"
	"\t\t[ -n \"$dev\" ] && break\n"
	"\t\tsleep 1\n"
	"\tdone\n"
	"\t[ -n \"$dev\" ] || { echo \"no interface $mac\" >/dev/console; continue; }\n"
	"\tip link set \"$dev\" up\n"
	"\tif [ \"$vlan\" != 0 ]; then\n"
	"\t\tip link add link \"$dev\" name \"$dev.$vlan\" type vlan id \"$vlan\"\n"
	"\t\tdev=$dev.$vlan\n"
	"\t\tip link set \"$dev\" up\n"
	"\tfi\n"
	"\tcase $ip4 in\n"
	"\t-) ;;\n"
	"\tdhcp) udhcpc -b -i \"$dev\" -s /etc/udhcpc.script >/dev/null 2>&1 ;;\n"
	"\t*) ip addr add \"$ip4\" brd + dev \"$dev\" ;;\n"
	"\tesac\n"
	"\t[ \"$gw4\" = - ] || ip route add default via \"$gw4\"\n"
	"\t[ \"$ip6\" = - ] || ip -6 addr add \"$ip6\" dev \"$dev\"\n"
	"\t[ \"$gw6\" = - ] || ip -6 route add default via \"$gw6\"\n"
	"\t[ \"$dns\" = - ] || echo \"$dns\" | tr ',' '\\n' | sed 's/^/nameserver /' >/etc/resolv.conf\n"
	"done </etc/bulkhead-net\n";

static const char dhcp_script[] =
	"#!/bin/sh\n"
	"case $1 in\n"
	"bound|renew)\n"
	"\tip addr flush dev \"$interface\"\n"
	"\tip addr add \"$ip/${mask:-24}\" dev \"$interface\"\n"
	"\tfor r in $router; do ip route replace default via \"$r\"; break; done\n"
	"\t: >/etc/resolv.conf\n"
	"\tfor d in $dns; do echo \"nameserver $d\" >>/etc/resolv.conf; done ;;\n"
	"deconfig) ip addr flush dev \"$interface\" ;;\n"
	"esac\n";

static const struct {
	const char *path, *text;
	unsigned int mode;
} files[] = {
	{ "etc/rc", rc_script, 0755 },
	{ "etc/rc.net", net_script, 0755 },
	{ "etc/udhcpc.script", dhcp_script, 0755 },
	{ "etc/inittab",
	  "::sysinit:/etc/rc\n"
	  "hvc0::respawn:/sbin/getty -L 115200 hvc0 vt100\n"
	  "::ctrlaltdel:/sbin/poweroff\n"
	  "::shutdown:/bin/umount -a -r\n",
	  0644 },
	/* No service listens: an empty password is for the console alone. */
	{ "etc/passwd", "root::0:0:root:/root:/bin/sh\n", 0644 },
	{ "etc/group", "root:x:0:\n", 0644 },
	{ "etc/bulkhead-tiny", "1\n", 0644 },
	{ "etc/fstab", "", 0644 },
	{ "etc/issue", "Bulkhead tiny guest \\n\n", 0644 },
};

static bool is_static(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0)
		return false;
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph),
			  (off_t)(eh.e_phoff + i * sizeof(ph))) != sizeof(ph))
			return false;
		if (ph.p_type == PT_INTERP)
			return false;
	}
	return true;
}

const char *find_busybox(void)
{
	static const char *const where[] = { "/usr/lib/bulkhead/busybox",
					     "/bin/busybox", "/usr/bin/busybox",
					     "/sbin/busybox" };

	for (size_t i = 0; i < ARRAY_SIZE(where); i++)
		if (is_static(where[i]))
			return where[i];
	return NULL;
}

static int copy_program(const char *from, const char *mnt, const char *to)
{
	_cleanup_free_ char *dst = bh_asprintf("%s/%s", mnt, to);
	_cleanup_free_ char *data = NULL;
	_cleanup_close_ int fd = -1;
	size_t n;

	if (!dst || bh_read_file(from, 64u << 20, &data, &n) < 0)
		return fail(VMB_MISSING, "cannot read %s: %m", from);
	fd = open(dst, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (fd < 0 || write(fd, data, n) != (ssize_t)n || fchmod(fd, 0755) < 0)
		return fail(VMB_FAILED, "cannot write %s: %m", dst);
	return 0;
}

static int install_links(const char *mnt)
{
	const char *av[] = { "chroot",    mnt,  "/bin/busybox",
			     "--install", "-s", NULL };

	return bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, NULL, NULL);
}

int fill_tiny(const char *mnt, void *arg __unused_arg)
{
	static const char *const dirs[] = {
		"bin",      "sbin", "etc",     "proc", "sys", "dev",
		"run",      "tmp",  "root",    "mnt",  "usr", "usr/bin",
		"usr/sbin", "var",  "var/log", "home", "lib"
	};
	_cleanup_free_ char *console = bh_asprintf("%s/dev/console", mnt);
	_cleanup_free_ char *null = bh_asprintf("%s/dev/null", mnt);
	const char *bb = find_busybox();
	int r = 0;

	progress("filling in busybox", 40);
	if (!bb)
		return fail(
			VMB_MISSING,
			"the tiny template needs a static busybox; install busybox-static");
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *d = bh_asprintf("%s/%s", mnt, dirs[i]);

		if (!d || bh_mkdir_p(d, streq(dirs[i], "tmp")    ? 01777
					: streq(dirs[i], "root") ? 0700
								 : 0755) < 0)
			return fail(VMB_FAILED, "cannot make %s: %m", d);
	}
	r = copy_program(bb, mnt, "bin/busybox");
	if (r >= 0 && install_links(mnt) != 0)
		r = fail(VMB_FAILED, "busybox --install failed");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *p =
			bh_asprintf("%s/%s", mnt, files[i].path);

		if (!p || bh_fill_file(p, files[i].text, strlen(files[i].text),
				       files[i].mode) < 0)
			r = fail(VMB_FAILED, "cannot write %s: %m", p);
	}
	if (r >= 0)
		r = copy_program(LIBEXECDIR "/guest-ready", mnt,
				 "sbin/bulkhead-ready");
	if (console)
		(void)mknod(console, S_IFCHR | 0600, makedev(5, 1));
	if (null)
		(void)mknod(null, S_IFCHR | 0666, makedev(1, 3));
	return r;
}
