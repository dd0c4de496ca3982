/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bhctl restore: checks the file, leaves its configuration and its path for
 * the supervisor, and starts that. Nothing is started for a damaged file.
 */
#include <limits.h>

#include "bhctl/bhctl.h"
#include "bulkhead/save.h"

int cmd_restore(struct ctl *c)
{
	_cleanup_free_ char *path = realpath(c->argv[0], NULL);
	struct bh_save_file f = {};
	struct bh_err e = {};
	char name[BH_NAME_MAX], dir[160], cfg[180], link[180];
	int r;

	if (!path)
		return fail(EX_FAIL, "%s: %s", c->argv[0], strerror(errno));
	r = bh_save_open(path, &f, &e);
	if (r < 0)
		return fail(EX_FAIL, "%s", bh_err_text(&e, r));
	(void)snprintf(name, sizeof(name), "%s", f.info->name);
	if (has_supervisor(name)) {
		bh_save_close(&f);
		return fail(EX_STATE, "guest %s already runs", name);
	}
	r = bh_snprintf(dir, sizeof(dir), RUN_DIR "/%s", name);
	if (r >= 0)
		r = bh_snprintf(cfg, sizeof(cfg), "%s/config", dir);
	if (r >= 0)
		r = bh_snprintf(link, sizeof(link), "%s/restore", dir);
	if (r >= 0)
		r = bh_mkdir_p(dir, 0755);
	if (r >= 0)
		r = bh_write_file(cfg, f.config, f.config_len, 0600);
	bh_save_close(&f);
	(void)unlink(link);
	if (r >= 0 && symlink(path, link) < 0)
		r = -errno;
	if (r < 0)
		return fail(EX_FAIL, "%s: %s", dir, strerror(-r));
	r = start_supervisor(name);
	(void)unlink(link);
	if (r) {
		(void)unlink(cfg);
		return r;
	}
	return c->wait ? wait_ready(c, name) : 0;
}
