/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GRUB's side: menu entries with stable ids, and the two variables in its
 * environment block that decide what boots: bulkhead_default (an id) and
 * bulkhead_next (an id, for one boot; GRUB clears it before it boots, and does
 * not try the set where it cannot, or a bad set would be tried for ever).
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bulkhead/run.h>
#include <bulkhead/util.h>

#include "bootset.h"

static bool exists(const char *path)
{
	char full[PATH_MAX];

	return access(root_path(full, sizeof(full), path), F_OK) == 0;
}

/* GRUB's own quoting: single quotes around, '\'' for one inside. */
static void print_quoted(const char *s)
{
	putchar('\'');
	for (; *s; s++) {
		if (*s == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*s);
	}
	putchar('\'');
}

static void print_entry(const struct bootset *s, const char *prepare,
			const char *rel, unsigned int deadline)
{
	const char *uuid = getenv("GRUB_DEVICE_UUID");
	const char *dev = getenv("GRUB_DEVICE");
	const char *more = getenv("GRUB_CMDLINE_LINUX");
	char title[400];

	snprintf(title, sizeof(title), "Bulkhead %s, dom0 Linux %s (set %s%s)",
		 s->hypervisor, s->kernel, s->id,
		 streq(s->state, "bad") ? ", failed" : "");
	printf("menuentry ");
	print_quoted(title);
	printf(" --class bulkhead --class gnu-linux --class os --id "
	       "bulkhead-%s {\n%s\n",
	       s->id, prepare);
	/* On trial nothing may wait for a hand: the initrd's shell, a panic. */
	printf("\tset bulkhead_dom0=\n"
	       "\tset bulkhead_hv=\n"
	       "\tif [ \"${bulkhead_try}\" = %s ]; then\n"
	       "\t\tset bulkhead_hv=\"watchdog boot_watchdog=%u\"\n"
	       "\t\tset bulkhead_dom0=\"bulkhead.trial panic=10\"\n\tfi\n",
	       s->id, deadline + DEADLINE_SLACK);
	printf("\tif [ \"${grub_platform}\" = pc ]; then set gfxpayload=text; "
	       "fi\n\tinsmod gzio\n\tinsmod multiboot2\n");
	printf("\techo 'Loading Bulkhead %s ...'\n", s->hypervisor);
	printf("\tmultiboot2 %s/%s/hypervisor.gz placeholder ${bulkhead_hv} "
	       "%s\n",
	       rel, s->id, s->hv_options);
	printf("\techo 'Loading Linux %s ...'\n", s->kernel);
	printf("\tmodule2 %s/%s/vmlinuz placeholder root=%s%s ro "
	       "${bulkhead_dom0} %s %s bulkhead.set=%s\n",
	       rel, s->id, uuid && *uuid ? "UUID=" : "",
	       uuid && *uuid ? uuid
	       : dev         ? dev
			     : "/dev/root",
	       more ? more : "", s->linux_options, s->id);
	printf("\tmodule2 --nounzip %s/%s/initrd.img\n}\n", rel, s->id);
}

int grub_print_menu(const struct bootsets *b, const char *prepare,
		    const char *rel_dir, unsigned int deadline)
{
	/* boot_once: the administrator asked GRUB itself for another entry. */
	printf("if [ \"${boot_once}\" != true ]; then\n"
	       "  set fallback=0\n"
	       "  if [ -n \"${bulkhead_default}\" ]; then\n"
	       "    set default=\"bulkhead-${bulkhead_default}\"\n"
	       "    set fallback=\"bulkhead-${bulkhead_default} 0\"\n"
	       "  fi\n"
	       "  if [ -n \"${bulkhead_next}\" ]; then\n"
	       "    set bulkhead_try=\"${bulkhead_next}\"\n"
	       "    set bulkhead_next=\n"
	       "    if save_env bulkhead_next; then\n"
	       "      set default=\"bulkhead-${bulkhead_try}\"\n"
	       "    else\n"
	       "      set bulkhead_try=\n"
	       "    fi\n"
	       "  fi\nfi\n");
	for (unsigned int i = b->nr; i-- > 0;)
		print_entry(&b->set[i], prepare, rel_dir, deadline);
	return ferror(stdout) ? -EIO : 0;
}

/* Output to stderr: stdout is the menu's. 0, -ENOENT or -EIO when it failed. */
static int run(const char *const argv[])
{
	int rc = bh_run(argv, 0, NULL, NULL);

	return rc == 0 ? 0 : rc == 127 ? -ENOENT : -EIO;
}

static int run_either(const char *const a[], const char *const b[])
{
	int r = run(a);

	return r == -ENOENT ? run(b) : r;
}

int grub_env_set(const char *name, const char *value)
{
	char env[PATH_MAX], arg[256];
	const char *dir =
		exists("/boot/grub2/grub.cfg") ? "/boot/grub2" : "/boot/grub";
	char rel[64];
	int r;

	if (!exists(dir))
		return 0; /* no GRUB here (an install root in the making) */
	snprintf(rel, sizeof(rel), "%s/grubenv", dir);
	root_path(env, sizeof(env), rel);
	snprintf(arg, sizeof(arg), "%s=%s", name, value ? value : "");
	const char *const set1[] = { "grub-editenv", env, "set", arg, NULL };
	const char *const set2[] = { "grub2-editenv", env, "set", arg, NULL };

	r = run_either(set1, set2);
	if (r) {
		bh_log(BH_ERR, "cannot set %s in %s: is grub-common installed?",
		       name, env);
		return r;
	}
	sync(); /* the next thing may be a power cut */
	return 0;
}

/*
 * The menu is made beside the real one and renamed: grub-mkconfig itself
 * writes into the file that boots, and a power cut there leaves half a menu.
 */
int grub_regenerate(void)
{
	const char *cfg = exists("/boot/grub2/grub.cfg")
				  ? "/boot/grub2/grub.cfg"
				  : "/boot/grub/grub.cfg";
	char real[PATH_MAX], tmp[PATH_MAX + 16];
	const char *const deb[] = { "grub-mkconfig", "-o", tmp, NULL };
	const char *const rpm[] = { "grub2-mkconfig", "-o", tmp, NULL };
	int r, fd;

	if (getenv("BULKHEAD_ROOT"))
		return 0;
	if (!realpath(cfg, real))
		return 0; /* not a machine that boots with GRUB (yet) */
	snprintf(tmp, sizeof(tmp), "%s.bulkhead", real);
	r = run_either(deb, rpm);
	fd = r ? -1 : open(tmp, O_RDONLY | O_CLOEXEC);
	if (!r && (fd < 0 || fsync(fd) < 0 || rename(tmp, real) < 0))
		r = -errno;
	if (fd >= 0)
		close(fd);
	sync();
	if (r) {
		unlink(tmp);
		bh_log(BH_ERR, "regenerating the GRUB menu failed: run "
			       "grub-mkconfig and look at its output");
	}
	return r;
}
