/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GRUB's side: menu entries with stable ids, and the two variables in its
 * environment block that decide what boots: bulkhead_default (an id) and
 * bulkhead_next (an id, for one boot; GRUB clears it before it boots).
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
			const char *rel)
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
	printf("\techo 'Loading Bulkhead %s ...'\n", s->hypervisor);
	printf("\tmultiboot2 %s/%s/hypervisor.gz placeholder %s\n", rel, s->id,
	       s->hv_options);
	printf("\techo 'Loading Linux %s ...'\n", s->kernel);
	printf("\tmodule2 %s/%s/vmlinuz placeholder root=%s%s ro %s %s "
	       "bulkhead.set=%s\n",
	       rel, s->id, uuid && *uuid ? "UUID=" : "",
	       uuid && *uuid ? uuid
	       : dev         ? dev
			     : "/dev/root",
	       more ? more : "", s->linux_options, s->id);
	printf("\tmodule2 --nounzip %s/%s/initrd.img\n}\n", rel, s->id);
}

int grub_print_menu(const struct bootsets *b, const char *prepare,
		    const char *rel_dir)
{
	/* boot_once: the administrator asked GRUB itself for another entry. */
	printf("if [ \"${boot_once}\" != true ]; then\n"
	       "  if [ -n \"${bulkhead_next}\" ]; then\n"
	       "    set default=\"bulkhead-${bulkhead_next}\"\n"
	       "    set bulkhead_next=\n"
	       "    save_env bulkhead_next\n"
	       "  elif [ -n \"${bulkhead_default}\" ]; then\n"
	       "    set default=\"bulkhead-${bulkhead_default}\"\n"
	       "  fi\nfi\n");
	for (unsigned int i = b->nr; i-- > 0;)
		print_entry(&b->set[i], prepare, rel_dir);
	return ferror(stdout) ? -EIO : 0;
}

/* Runs argv, output to stderr. 0, or -EIO when it failed. */
static int run(const char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		dup2(2, 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
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

int grub_regenerate(void)
{
	const char *const deb[] = { "update-grub", NULL };
	const char *const rpm[] = { "grub2-mkconfig", "-o",
				    "/boot/grub2/grub.cfg", NULL };
	int r;

	if (getenv("BULKHEAD_ROOT") || getenv("BULKHEAD_NO_GRUB"))
		return 0;
	if (exists("/boot/grub2/grub.cfg"))
		r = run(rpm);
	else if (exists("/boot/grub/grub.cfg"))
		r = run(deb);
	else
		return 0; /* not a machine that boots with GRUB (yet) */
	if (r)
		bh_log(BH_ERR, "regenerating the GRUB menu failed: run "
			       "update-grub and look at its output");
	return r;
}
