/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs of the journal, see actions.h. Each looks at the world first and
 * does nothing if its work is already done, because recovery repeats them.
 */
#include "actions.h"

#include <errno.h>
#include <time.h>

#include "bhctl.h"
#include "fs.h"
#include "guestfs.h"
#include "journal.h"
#include "lvm.h"
#include "util.h"

/*
 * udev or a dying process may have a volume open for a moment, the driver of a
 * guest that was just stopped for some seconds.
 */
#define TRIES 50

static void nap(void)
{
	struct timespec t = { 0, 200 * 1000 * 1000 };

	nanosleep(&t, NULL);
}

/*
 * Is there such a volume, and is it ours? 1 yes, 0 no volume, <0 failed. If yes,
 * ret_open (may be NULL) says whether somebody uses it. To be removed it must
 * not take another's snapshot with it.
 */
static int look(const char *vg, const char *lv, const char *owner,
		bool *ret_open, bool to_remove)
{
	const struct lv *other;
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	const struct lv *v;
	int r = lvm_load(NULL, &l);

	if (r < 0)
		return r;
	v = lvm_lv(&l, vg, lv);
	if (!v)
		return 0;
	if (!strv_has(&v->tags, owner))
		return fail(VMB_CONFLICT,
			    "volume %s/%s is not tagged %s: left alone", vg, lv,
			    owner);
	other = to_remove ? lvm_stranger_on(&l, v, owner) : NULL;
	if (other)
		return fail(
			VMB_CONFLICT,
			"volume %s/%s has a snapshot, %s, that is not vm-bootstrap's: left alone",
			vg, lv, other->name);
	if (ret_open)
		*ret_open = lv_is_open(v);
	return 1;
}

static int owned(const char *vg, const char *lv, const char *owner,
		 bool *ret_open)
{
	return look(vg, lv, owner, ret_open, false);
}

/* VG LV OWNER */
static int do_lv_remove(const char *const *a)
{
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		r = look(a[0], a[1], a[2], NULL, true);
		if (r <= 0)
			return r;
		fail_muted = i + 1 < TRIES;
		r = lvm_remove(a[0], a[1]);
		fail_muted = false;
		if (r >= 0)
			return 0;
		nap();
	}
	return r;
}

/* PATH */
static int do_unlink(const char *const *a)
{
	if (unlink(a[0]) < 0 && errno != ENOENT)
		return fail(VMB_FAILED, "cannot remove %s: %m", a[0]);
	(void)bh_sync_dir_of(a[0]);
	return 0;
}

/* FROM TO */
static int do_rename(const char *const *a)
{
	if (rename(a[0], a[1]) < 0 &&
	    !(errno == ENOENT && access(a[1], F_OK) == 0))
		return fail(VMB_FAILED, "cannot rename %s to %s: %m", a[0],
			    a[1]);
	(void)bh_sync_dir_of(a[1]);
	return 0;
}

/*
 * VG LV NEW OLD OWNER: NEW takes the place of LV, which becomes OLD. NEW is
 * there until the very last step, so a repetition knows where it stands.
 */
static int do_lv_swap(const char *const *a)
{
	int r = owned(a[0], a[2], a[4], NULL);

	if (r <= 0)
		return r;
	r = owned(a[0], a[1], a[4], NULL);
	if (r > 0)
		r = lvm_rename(a[0], a[1], a[3]);
	fault_point("half swapped");
	return r < 0 ? r : lvm_rename(a[0], a[2], a[1]);
}

/* VG LV OWNER TAG */
static int do_lv_untag(const char *const *a)
{
	int r = owned(a[0], a[1], a[2], NULL);

	return r <= 0 ? r : lvm_untag(a[0], a[1], a[3]);
}

/*
 * VG LV BYTES OWNER EXTENTS. The origin of plain snapshots can only be extended
 * while it is inactive; whoever asked made sure that nobody has it open then.
 */
static int do_lv_extend(const char *const *a)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	uint64_t want = strtoull(a[2], NULL, 10);
	const struct lv *v;
	int r = lvm_load(a[0], &l);

	if (r < 0)
		return r;
	v = lvm_lv(&l, a[0], a[1]);
	if (!v || !strv_has(&v->tags, a[3]))
		return fail(VMB_CONFLICT, "volume %s/%s is not tagged %s", a[0],
			    a[1], a[3]);
	if (v->size < want) {
		if (lv_is_origin(v))
			r = lvm_activate(a[0], a[1], false);
		if (r < 0)
			return r;
		r = lvm_extend(a[0], a[1], want, a[4]);
		/* Somebody else may have taken those extents. */
		if (r < 0 && *a[4])
			r = lvm_extend(a[0], a[1], want, "");
	}
	if (lv_is_origin(v) && lvm_activate(a[0], a[1], true) < 0)
		r = -VMB_FAILED;
	return r;
}

/*
 * VG LV OWNER: grow the file system in it to the volume's size. Asked for when
 * the guest was stopped, but this may be a later run, after a power cut, and
 * the guest up again: two kernels would write to one file system.
 */
static int do_fs_grow(const char *const *a)
{
	_cleanup_free_ char *dev = lv_device(a[0], a[1]);
	bool open = true;

	for (int i = 0; i < TRIES && open; i++) {
		int r = owned(a[0], a[1], a[2], &open);

		if (r <= 0)
			return r;
		if (open)
			nap();
	}
	if (open) {
		note("volume %s/%s has grown and is in use; its file system is left to the guest",
		     a[0], a[1]);
		return 0;
	}
	if (guestfs_grow(dev) >= 0)
		return 0;
	return fail(
		VMB_FAILED,
		"volume %s/%s has its size, but the file system in it was not grown; mend it (e2fsck -f /dev/%s/%s while the guest is stopped) and grow it in the guest (resize2fs /dev/xvda)",
		a[0], a[1], a[0], a[1]);
}

/* NAME */
static int do_enable(const char *const *a)
{
	return bhctl_enable(a) < 0
		       ? fail(VMB_FAILED,
			      "guest %s is made, but does not start with the host; try \"bhctl enable %s\"",
			      a[0], a[0])
		       : 0;
}

/*
 * NAME: the kernels that bootread took from its disk. The next guest of that
 * name would fall back to them.
 */
static int do_forget_boot(const char *const *a)
{
	_cleanup_free_ char *dir = bh_asprintf("%s/var/lib/bulkhead/guests/%s",
					       root_prefix(), a[0]);
	_cleanup_free_ char *boot = bh_asprintf("%s/boot", dir);
	int r;

	if (!dir || !boot)
		return oom();
	if (strchr(a[0], '/') || bh_startswith(a[0], "."))
		return fail(VMB_FAILED, "journal: \"%s\" is no guest", a[0]);
	r = rm_rf(boot);
	if (r < 0 && r != -ENOENT)
		return fail(VMB_FAILED, "cannot remove %s: %s", boot,
			    strerror(-r));
	/* If there is nothing else, such as a saved state. */
	(void)rmdir(dir);
	return 0;
}

static int marked(const char *vg, const char *lv, const char *tag)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	const struct lv *v;
	int r = lvm_load(vg, &l);

	if (r < 0)
		return r;
	v = lvm_lv(&l, vg, lv);
	return v && strv_has(&v->tags, tag);
}

/* VG SNAPSHOT MARK: merge a classic snapshot, if so marked, into its origin */
static int do_lv_merge(const char *const *a)
{
	_cleanup_free_ char *full = bh_asprintf("%s/%s", a[0], a[1]);
	const char *av[] = { "lvconvert", "-q",      "-y", "-i",
			     "1",         "--merge", full, NULL };
	int r = marked(a[0], a[1], a[2]);

	return r <= 0 ? r : lvm_cmd(av);
}

/* VG ORIGIN SNAPSHOT COW-BYTES TAG... : make the snapshot unless it is there */
static int do_lv_snapshot(unsigned int n, const char *const *a)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	_cleanup_strv_ struct strv tags = { 0 };
	int r = lvm_load(a[0], &l);

	if (r < 0)
		return r;
	if (lvm_lv(&l, a[0], a[2]))
		return 0;
	for (unsigned int i = 4; i < n; i++)
		if (strv_add(&tags, a[i]) < 0)
			return oom();
	return lvm_snapshot(a[0], a[1], a[2], strtoull(a[3], NULL, 10), &tags);
}

bool action_may_fail(const char *verb)
{
	return streq(verb, "fs-grow") || streq(verb, "enable");
}

int action_run(const char *verb, unsigned int n, const char *const *a)
{
	static const struct {
		const char *verb;
		unsigned int n;
		int (*fn)(const char *const *a);
	} acts[] = {
		{ "lv-remove", 3, do_lv_remove },
		{ "unlink", 1, do_unlink },
		{ "rename", 2, do_rename },
		{ "lv-swap", 5, do_lv_swap },
		{ "lv-extend", 5, do_lv_extend },
		{ "fs-grow", 3, do_fs_grow },
		{ "lv-merge", 3, do_lv_merge },
		{ "enable", 1, do_enable },
		{ "disable", 1, bhctl_disable },
		{ "stop", 1, bhctl_kill },
		{ "lv-untag", 4, do_lv_untag },
		{ "forget-boot", 1, do_forget_boot },
	};

	if (streq(verb, "lv-snapshot") && n >= 5)
		return do_lv_snapshot(n, a);
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		if (streq(acts[i].verb, verb) && acts[i].n == n)
			return acts[i].fn(a);
	return fail(
		VMB_FAILED,
		"journal: unknown action \"%s\"; was it written by a newer vm-bootstrap?",
		verb);
}
