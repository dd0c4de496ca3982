/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest gets from us besides its distribution: the mark that it is up,
 * growth of its root file system when the volume grows while it runs, and a
 * first boot menu where it brings its own kernel. The guest's own tools may
 * replace any of it later.
 */
#define _GNU_SOURCE
#include "fill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "guestfs.h"
#include "inguest.h"

static const char ready_unit[] =
	"# Tells the host that this guest is up (vm-bootstrap --wait).\n"
	"[Unit]\n"
	"Description=Tell the Bulkhead host that this guest is up\n"
	"ConditionPathExists=/dev/xen/xenbus\n"
	"After=network.target ssh.service sshd.service\n\n"
	"[Service]\n"
	"Type=oneshot\n"
	"ExecStart=/usr/lib/bulkhead/guest-ready\n"
	"RemainAfterExit=yes\n\n"
	"[Install]\n"
	"WantedBy=multi-user.target\n";

static const char grow_unit[] =
	"# Started by udev when the host has enlarged the root disk.\n"
	"[Unit]\n"
	"Description=Grow the root file system to its disk\n\n"
	"[Service]\n"
	"Type=oneshot\n"
	"ExecStart=/lib/systemd/systemd-growfs /\n";

static const char grow_rule[] =
	"ACTION==\"change\", SUBSYSTEM==\"block\", KERNEL==\"xvda\", ENV{RESIZE}==\"1\", "
	"RUN+=\"/bin/systemctl --no-block start bulkhead-grow.service\"\n";

static int install_tools(const char *helper, size_t n)
{
	struct stat st;
	int r = 0;

	/* Only where systemd would run it. */
	if (lstat("/etc/systemd/system", &st) < 0)
		return 0;
	(void)mkdir("/usr/lib/bulkhead", 0755);
	inguest_label("/usr/lib/bulkhead");
	/* Anew: what is there may be a pipe, or a link to something. */
	(void)unlink("/usr/lib/bulkhead/guest-ready");
	{
		_cleanup_close_ int fd = open("/usr/lib/bulkhead/guest-ready",
					      O_WRONLY | O_CREAT | O_EXCL |
						      O_NOFOLLOW | O_CLOEXEC,
					      0755);

		if (fd < 0 || write(fd, helper, n) != (ssize_t)n)
			return fail(VMB_FAILED,
				    "cannot install guest-ready: %m");
	}
	inguest_label("/usr/lib/bulkhead/guest-ready");
	r = inguest_write("/etc/systemd/system/bulkhead-ready.service",
			  ready_unit, 0644);
	if (r >= 0)
		r = inguest_write("/etc/systemd/system/bulkhead-grow.service",
				  grow_unit, 0644);
	if (r >= 0)
		r = inguest_write("/etc/udev/rules.d/80-bulkhead-grow.rules",
				  grow_rule, 0644);
	(void)mkdir("/etc/systemd/system/multi-user.target.wants", 0755);
	inguest_label("/etc/systemd/system/multi-user.target.wants");
	if (r >= 0 &&
	    symlink("/etc/systemd/system/bulkhead-ready.service",
		    "/etc/systemd/system/multi-user.target.wants/bulkhead-ready.service") <
		    0 &&
	    errno != EEXIST)
		r = fail(VMB_FAILED,
			 "cannot enable bulkhead-ready.service: %m");
	inguest_label(
		"/etc/systemd/system/multi-user.target.wants/bulkhead-ready.service");
	return r;
}

int fill_guest_tools(const char *mnt __unused_arg)
{
	_cleanup_free_ char *data = NULL;
	size_t n;
	int r;

	if (bh_read_file(LIBEXECDIR "/guest-ready", 16u << 20, &data, &n) < 0)
		return fail(VMB_MISSING, "cannot read %s: %m",
			    LIBEXECDIR "/guest-ready");
	r = guestfs_enter();
	if (r < 0)
		return r;
	r = install_tools(data, n);
	return guestfs_leave() < 0 ? -VMB_FAILED : r;
}

static char *newest_kernel(void)
{
	struct dirent **list = NULL;
	int n = scandir("/boot", &list, NULL, versionsort);
	char *best = NULL;

	for (int i = n - 1; i >= 0; i--) {
		if (!best && bh_startswith(list[i]->d_name, "vmlinuz-") &&
		    !strstr(list[i]->d_name, "rescue"))
			best = strdup(list[i]->d_name + strlen("vmlinuz-"));
		free(list[i]);
	}
	free(list);
	return best;
}

static bool has_entries(void)
{
	DIR *d = opendir("/boot/loader/entries");
	struct dirent *de;
	bool yes = false;

	while (d && !yes && (de = readdir(d)))
		yes = bh_endswith(de->d_name, ".conf");
	if (d)
		closedir(d);
	return yes;
}

/* As kernel-install would have written it, and removes it one day. */
static int write_entry(const char *token, const char *ver, const char *uuid)
{
	_cleanup_free_ char *p =
		bh_asprintf("/boot/loader/entries/%s-%s.conf", token, ver);

	return p ? inguest_writef(p, 0644,
				  "title      Linux %s\n"
				  "version    %s\n"
				  "options    root=UUID=%s ro console=hvc0\n"
				  "linux      /boot/vmlinuz-%s\n"
				  "initrd     /boot/initramfs-%s.img\n",
				  ver, ver, uuid, ver, ver)
		 : oom();
}

static int write_menu(const char *uuid)
{
	static const char *const menus[] = { "/boot/extlinux/extlinux.conf",
					     "/boot/grub2/grub.cfg",
					     "/boot/grub/grub.cfg" };
	_cleanup_free_ char *ver = newest_kernel(), *deb = NULL, *el = NULL;
	_cleanup_free_ char *token = NULL;

	if (has_entries())
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(menus); i++)
		if (access(menus[i], F_OK) == 0)
			return 0;
	if (!ver)
		return fail(
			VMB_FAILED,
			"boot mode disk: no kernel was installed in the template (boot-packages in the recipe)");
	if (inguest_read("/etc/kernel/entry-token", &token) >= 0 &&
	    *bh_strip(token) && !strchr(token, '/'))
		return write_entry(bh_strip(token), ver, uuid);
	deb = bh_asprintf("/boot/initrd.img-%s", ver);
	el = bh_asprintf("/boot/initramfs-%s.img", ver);
	return inguest_writef(
		"/boot/grub/grub.cfg", 0644,
		"# First menu, by vm-bootstrap; update-grub replaces it.\n"
		"set default=\"0\"\nset timeout=2\n"
		"menuentry 'Linux %s' {\n"
		"\tlinux /boot/vmlinuz-%s root=UUID=%s ro console=hvc0\n"
		"\tinitrd %s\n}\n",
		ver, ver, uuid, access(deb, F_OK) == 0 ? deb : el);
}

int fill_boot_menu(const char *mnt __unused_arg, const char *uuid)
{
	int r = guestfs_enter();

	if (r < 0)
		return r;
	r = write_menu(uuid);
	if (r >= 0 && access("/etc/default/grub", F_OK) == 0)
		r = inguest_replace("/etc/default/grub",
				    "GRUB_CMDLINE_LINUX=\"\"",
				    "GRUB_CMDLINE_LINUX=\"console=hvc0\"");
	return guestfs_leave() < 0 ? -VMB_FAILED : r;
}
