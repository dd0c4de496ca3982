/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A systemd generator: turns bulkhead_after = ["db1"] of guests' configurations
 * into After= of their units, so that systemd starts them in that order and
 * stops them in the reverse one. It never fails a boot: what cannot be read is
 * reported to the kernel's log and skipped.
 */
#include <dirent.h>
#include <fcntl.h>

#include "bulkhead/cfg.h"

#define ETC_DIR "/etc/bulkhead/guests"

static void complain(const char *text)
{
	FILE *f = fopen("/dev/kmsg", "we");

	if (!f)
		return;
	fprintf(f, "<4>bulkhead-guest-generator: %s\n", text);
	fclose(f);
}

static int write_order(const char *dir, const struct bh_guest_cfg *c,
		       const char *name)
{
	_cleanup_free_ char *sub = NULL, *path = NULL;
	_cleanup_file_ FILE *f = NULL;
	int r;

	sub = bh_asprintf("%s/bulkhead-guest@%s.service.d", dir, name);
	path = sub ? bh_asprintf("%s/order.conf", sub) : NULL;
	if (!path)
		return -ENOMEM;
	r = bh_mkdir_p(sub, 0755);
	if (r < 0)
		return r;
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fputs("# made from bulkhead_after by bulkhead-guest-generator\n[Unit]\n",
	      f);
	for (size_t i = 0; i < c->n_after; i++)
		fprintf(f, "After=bulkhead-guest@%s.service\n", c->after[i]);
	return ferror(f) ? -EIO : 0;
}

static void one(const char *dir, const char *file)
{
	_cleanup_(bh_guest_cfg_free_cleanup) struct bh_guest_cfg *c = NULL;
	_cleanup_free_ char *path = NULL, *name = NULL;
	struct bh_err e = {};
	int r;

	path = bh_asprintf(ETC_DIR "/%s", file);
	name = strndup(file, strlen(file) - 4);
	if (!path || !name || !bh_name_valid(name))
		return;
	r = bh_guest_cfg_load(path, name, NULL, NULL, &c, &e);
	if (r < 0) {
		complain(bh_err_text(&e, r));
		return;
	}
	if (c->n_after && write_order(dir, c, name) < 0)
		complain("cannot write a drop-in");
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "/tmp";
	struct dirent *de;
	DIR *d = opendir(ETC_DIR);

	if (!d)
		return 0;
	while ((de = readdir(d)) != NULL)
		if (bh_endswith(de->d_name, ".cfg"))
			one(dir, de->d_name);
	closedir(d);
	return 0;
}
