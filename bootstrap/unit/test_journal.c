/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal, which is interrupted after every record here, its steps and locks.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* ours is another */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <bulkhead/run.h>

#include "actions.h"
#include "fs.h"
#include "journal.h"
#include "lock.h"
#include "scratch.h"

static int prepared;
static int prepare_once(const char *kind, const char *name __unused_arg)
{
	prepared++;
	return streq(kind, "guest") ? 0 : -VMB_FAILED;
}

static void a_source_is_shared(void **s __unused_arg)
{
	_cleanup_lock_ int a = lock_share("guest", "sh", "a", prepare_once);
	_cleanup_lock_ int b = lock_share("guest", "sh", "b", prepare_once);

	assert_true(a >= 0 && b >= 0);
	assert_int_equal(prepared, 1);
	assert_int_equal(lock_try_quiet("guest", "sh"), -EBUSY);
	assert_int_equal(lock_share("other", "sh", "c", prepare_once),
			 -VMB_FAILED);
}

/* One journalled operation: makes file A, then publishes B from B.new. */
static int operate(void)
{
	_cleanup_free_ char *a = bh_asprintf("%s/A", root);
	_cleanup_free_ char *tmp = bh_asprintf("%s/B.new", root);
	_cleanup_free_ char *b = bh_asprintf("%s/B", root);
	struct journal *j _cleanup_journal_ = NULL;
	_cleanup_lock_ int lock = lock_take("guest", "u", "test", LOCK_TRY);
	int r;

	if (lock < 0)
		return lock;
	r = journal_begin("guest", "u", "test", &j);
	if (r >= 0)
		r = journal_undo(j, "unlink", a, NULL);
	if (r >= 0)
		r = bh_fill_file(a, "a", strlen("a"), 0600);
	fault_point("a");
	if (r >= 0)
		r = journal_undo(j, "unlink", tmp, NULL);
	if (r >= 0)
		r = bh_fill_file(tmp, "b", strlen("b"), 0600);
	fault_point("b");
	if (r >= 0)
		r = journal_redo(j, "rename", tmp, b, NULL);
	return r < 0 ? r : journal_commit(&j);
}

static void journal_is_all_or_nothing(void **s __unused_arg)
{
	bool completed = false;
	unsigned int undone = 0, redone = 0;

	opt_quiet = true;
	for (int at = 1; !completed && at < 100; at++) {
		_cleanup_free_ char *env = bh_asprintf("kill:%d", at);
		_cleanup_free_ char *dir = state_path("journal");
		int st;
		pid_t pid;

		setenv("VM_BOOTSTRAP_FAULT", env, 1);
		pid = fork();
		if (pid == 0)
			_exit(-operate());
		assert_int_equal(waitpid(pid, &st, 0), pid);
		unsetenv("VM_BOOTSTRAP_FAULT");
		completed = WIFEXITED(st);
		/* In a process of its own: points are counted per process. */
		pid = fork();
		if (pid == 0)
			_exit(-journal_recover_all(NULL, NULL));
		assert_int_equal(waitpid(pid, &st, 0), pid);
		assert_int_equal(st, 0);
		/* Both or neither, and no journal. */
		assert_int_equal(there("A"), there("B"));
		assert_false(there("B.new"));
		assert_true(rmdir(dir) == 0);
		if (there("A"))
			redone++;
		else
			undone++;
		for (const char *const *n =
			     (const char *const[]){ "A", "B", NULL };
		     *n; n++) {
			_cleanup_free_ char *p = bh_asprintf("%s/%s", root, *n);

			(void)unlink(p);
		}
	}
	assert_true(undone >= 6 && redone >= 4);
}

static void journal_of_the_living_is_left_alone(void **s __unused_arg)
{
	_cleanup_lock_ int lock = lock_take("guest", "v", "test", LOCK_TRY);
	struct journal *j = NULL;
	int st;
	pid_t pid;

	assert_true(lock >= 0);
	assert_int_equal(journal_begin("guest", "v", "test", &j), 0);
	pid = fork();
	if (pid == 0) {
		/* Another process has no lock: it must skip it. */
		close(lock);
		_exit(journal_recover_all(NULL, NULL) < 0      ? 1
		      : lock_try_quiet("guest", "v") == -EBUSY ? 0
							       : 2);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
	journal_abort(&j);
}

/* What is undone last succeeds; what failed before it is tried again. */
static void failed_undo_keeps_the_journal(void **s __unused_arg)
{
	_cleanup_free_ char *p = state_path("journal/guest.f");
	_cleanup_free_ char *dir = bh_asprintf("%s/D", root);
	_cleanup_free_ char *text =
		bh_asprintf("bulkhead-journal 1 create\nundo unlink %s/none\n"
			    "undo unlink %s\n",
			    root, dir);

	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(bh_fill_file(p, text, strlen(text), 0600), 0);
	assert_int_equal(journal_recover_all(NULL, NULL), -VMB_FAILED);
	assert_int_equal(access(p, F_OK), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(journal_recover_all(NULL, NULL), 0);
	assert_true(access(p, F_OK) < 0);
}

/* After the commit a step holds up those behind it, but not one that may fail. */
static void committed_steps_that_fail(void **s __unused_arg)
{
	_cleanup_free_ char *p = state_path("journal/guest.c");
	_cleanup_free_ char *a = bh_asprintf("%s/A", root);
	_cleanup_free_ char *dir = bh_asprintf("%s/D", root);
	_cleanup_free_ char *text = bh_asprintf(
		"bulkhead-journal 1 create\nredo enable c\nredo unlink %s\ncommit\n",
		a);
	_cleanup_free_ char *stuck = bh_asprintf(
		"bulkhead-journal 1 create\nredo rename %s/no %s/none\nredo unlink %s\ncommit\n",
		root, root, a);
	_cleanup_free_ char *open =
		bh_asprintf("bulkhead-journal 1 create\nundo unlink %s\n", dir);

	assert_int_equal(setenv("BULKHEAD_BHCTL", "false", 1), 0);
	assert_int_equal(bh_fill_file(a, "", 0, 0600), 0);
	assert_int_equal(bh_fill_file(p, text, strlen(text), 0600), 0);
	assert_int_equal(journal_recover_all("guest", "c"), 0);
	assert_non_null(strstr(last_failure(), "bhctl enable c"));
	assert_false(there("A"));
	assert_true(access(p, F_OK) < 0);
	unsetenv("BULKHEAD_BHCTL");

	assert_int_equal(bh_fill_file(a, "", 0, 0600), 0);
	assert_int_equal(bh_fill_file(p, stuck, strlen(stuck), 0600), 0);
	assert_int_equal(journal_recover_all("guest", "c"), -VMB_FAILED);
	assert_true(there("A"));
	assert_int_equal(journal_give_up("guest", "c"), 0);
	assert_int_equal(journal_recover_all("guest", "c"), 0);
	assert_true(there("A"));
	assert_int_equal(unlink(a), 0);
	assert_int_equal(journal_give_up("guest", "c"), 0);

	/* What was not committed is undone, whatever it takes. */
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(bh_fill_file(p, open, strlen(open), 0600), 0);
	assert_int_equal(journal_give_up("guest", "c"), -EBUSY);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(journal_recover_all("guest", "c"), 0);
}

static void kernels_of_a_removed_guest_are_forgotten(void **s __unused_arg)
{
	const char *const names[] = { "g", "../g" };
	_cleanup_free_ char *boot =
		bh_asprintf("%s/var/lib/bulkhead/guests/g/boot", root);
	_cleanup_free_ char *k = bh_asprintf("%s/kernel", boot);

	assert_int_equal(bh_mkdir_p(boot, 0755), 0);
	assert_int_equal(bh_fill_file(k, "x", 1, 0600), 0);
	assert_int_equal(action_run("forget-boot", 1, &names[1]), -VMB_FAILED);
	assert_int_equal(access(k, F_OK), 0);
	assert_int_equal(action_run("forget-boot", 1, names), 0);
	assert_false(there("var/lib/bulkhead/guests/g"));
	assert_int_equal(action_run("forget-boot", 1, names), 0);
}

static void torn_journal_line_is_ignored(void **s __unused_arg)
{
	_cleanup_free_ char *p = state_path("journal/guest.t");
	_cleanup_free_ char *a = bh_asprintf("%s/A", root);
	_cleanup_free_ char *text = bh_asprintf(
		"bulkhead-journal 1 create\nundo unlink %s\ncommi", a);

	assert_int_equal(bh_fill_file(a, "", strlen(""), 0600), 0);
	assert_int_equal(bh_fill_file(p, text, strlen(text), 0600), 0);
	assert_int_equal(journal_recover_all(NULL, NULL), 0);
	assert_false(there("A"));
	assert_true(access(p, F_OK) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_is_shared),
		cmocka_unit_test(journal_is_all_or_nothing),
		cmocka_unit_test(journal_of_the_living_is_left_alone),
		cmocka_unit_test(torn_journal_line_is_ignored),
		cmocka_unit_test(failed_undo_keeps_the_journal),
		cmocka_unit_test(committed_steps_that_fail),
		cmocka_unit_test(kernels_of_a_removed_guest_are_forgotten),
	};

	return cmocka_run_group_tests_name("journal", tests, enter, leave);
}
