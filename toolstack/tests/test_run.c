/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running programs, and files of "key = value" lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "bulkhead/pairs.h"
#include "bulkhead/run.h"
#include "bulkhead/util.h"

#define SH(text) ((const char *const[]){ "sh", "-c", text, NULL })

static void output_and_exit_status_come_back(void **state)
{
	_cleanup_free_ char *out = NULL, *err = NULL;

	(void)state;
	assert_int_equal(
		bh_run(SH("echo a; echo b >&2; exit 7"), 0, &out, &err), 7);
	assert_string_equal(out, "a\n");
	assert_string_equal(err, "b\n");
}

static void no_output_is_an_empty_string(void **state)
{
	_cleanup_free_ char *out = NULL;

	(void)state;
	assert_int_equal(bh_run(SH("cat; kill -9 $$"), 0, &out, NULL),
			 128 + SIGKILL);
	assert_string_equal(out, "");
}

static void missing_program_is_127(void **state)
{
	const char *const argv[] = { "no-such-program", NULL };
	_cleanup_free_ char *out = NULL;

	(void)state;
	assert_int_equal(bh_run(argv, BH_RUN_KEEP, &out, NULL), 127);
	assert_int_equal(bh_run(argv, BH_RUN_TIED, NULL, NULL), 127);
	assert_false(bh_have_program("no-such-program"));
	assert_true(bh_have_program("sh"));
}

/* More than a pipe holds, on both at once. */
static void long_output_does_not_block(void **state)
{
	_cleanup_free_ char *out = NULL, *err = NULL;

	(void)state;
	assert_int_equal(bh_run(SH("head -c 300000 /dev/zero | tr '\\0' e >&2; "
				   "head -c 300000 /dev/zero | tr '\\0' o"),
				0, &out, &err),
			 0);
	assert_int_equal(strlen(out), 300000);
	assert_int_equal(strlen(err), 300000);
}

static void program_gets_no_descriptor_of_ours(void **state)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY);
	_cleanup_free_ char *out = NULL;

	(void)state;
	assert_true(fd > 2);
	/* ls itself opens the directory: one more than the three. */
	assert_int_equal(bh_run(SH("ls /proc/self/fd | wc -l"), 0, &out, NULL),
			 0);
	assert_int_equal(atoi(out), 4);
}

/* A killed caller: its lock is held until the program has finished. */
static void kept_program_outlives_us_and_holds_locks(void **state)
{
	char path[] = "/tmp/bh-run-XXXXXX", script[128];
	int fd = mkstemp(path), st;
	pid_t pid;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	snprintf(script, sizeof(script), "sleep 1; echo done >%s", path);
	pid = fork();
	if (pid == 0) {
		int lock = open(path, O_RDWR);

		if (flock(lock, LOCK_EX) < 0)
			_exit(1);
		(void)bh_run(SH(script), BH_RUN_KEEP, NULL, NULL);
		_exit(0);
	}
	usleep(300 * 1000);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	fd = open(path, O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0); /* waits for the keeper */
	assert_int_equal(lseek(fd, 0, SEEK_END), 5);
	close(fd);
	unlink(path);
}

static void count_line(const char *line, void *arg)
{
	int *n = arg;

	*n = *n * 10 + (streq(line, "one") ? 1 : streq(line, "two") ? 2 : 9);
}

static void lines_come_one_by_one(void **state)
{
	int n = 0;

	(void)state;
	assert_int_equal(bh_run_lines(SH("echo one; echo two >&2; printf one; "
					 "exit 3"),
				      0, count_line, &n),
			 3);
	assert_int_equal(n, 121);
}

static int note_pair(unsigned int line, const char *key, const char *value,
		     void *arg)
{
	char *text = arg;

	if (streq(key, "stop"))
		return -EINVAL;
	sprintf(text + strlen(text), "%u:%s=%s;", line, key,
		value ? value : "(none)");
	return 0;
}

static void pairs_are_read(void **state)
{
	static const struct {
		const char *text, *want;
		int r;
	} t[] = {
		{ "a=1\n b = two words \n", "1:a=1;2:b=two words;", 0 },
		{ "# no\n\n#a=1\nc=", "4:c=;", 0 },
		{ "a=\"x y\"\nb=\"a\" \"b\"\nc=\"\nd=\"\"",
		  "1:a=x y;2:b=\"a\" \"b\";3:c=\";4:d=;", 0 },
		{ "a=1 \\\n 2\nb=3\n", "1:a=1    2;3:b=3;", 0 },
		{ "word\na=b=c", "1:word=(none);2:a=b=c;", 0 },
		{ "a=1\nstop\nb=2\n", "1:a=1;", -EINVAL },
		{ "a=\\", "1:a=\\;", 0 },
		{ "\\\n", "", 0 },
		{ "", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		_cleanup_free_ char *text = strdup(t[i].text);
		char got[256] = "";

		assert_int_equal(bh_pairs_parse(text, note_pair, got), t[i].r);
		assert_string_equal(got, t[i].want);
	}
	assert_int_equal(bh_pairs_read("/nonexistent", note_pair, NULL),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_exit_status_come_back),
		cmocka_unit_test(no_output_is_an_empty_string),
		cmocka_unit_test(missing_program_is_127),
		cmocka_unit_test(long_output_does_not_block),
		cmocka_unit_test(program_gets_no_descriptor_of_ours),
		cmocka_unit_test(kept_program_outlives_us_and_holds_locks),
		cmocka_unit_test(lines_come_one_by_one),
		cmocka_unit_test(pairs_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
