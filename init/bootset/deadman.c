/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dom0 on trial that gets stuck on its way up (emergency mode, a unit that
 * waits for ever, a health check that never gets its turn) would wait for a
 * hand on the console. So a unit starts this as early as it can, depending on
 * nothing; when the set has not been blessed before the deadline, the machine
 * goes back to the old set: first in order, and if even that hangs, by reset.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include <bulkhead/util.h>

#include "bootset.h"

#define ORDERLY 180 /* seconds that an orderly reboot may take */

static unsigned int uptime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec;
}

/* Judged by the health check, well or not? Not readable: not judged. Until
 * then the set is the one that is tried. */
static bool judged(const char *id)
{
	struct bootsets b;
	struct bootset *s;

	if (sets_load(&b))
		return false;
	s = sets_find(&b, id);
	return s && (!streq(b.trying, id) || streq(s->state, "bad"));
}

/* Into the kernel's log, which is there before the journal (we start earlier,
 * and our stderr goes nowhere) and which the console shows. */
static void say(const char *text)
{
	_cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "<3>bulkhead: %s\n", text) < 0)
		bh_log(BH_ERR, "%s", text);
}

int deadman(const struct settings *s, const char *id)
{
	static const char *const argv[] = { "systemctl", "reboot", NULL };
	char text[128];
	pid_t pid;

	if (!running_trial())
		return 0;
	while (!judged(id) && uptime() < s->deadline)
		sleep(5);
	if (judged(id))
		return 0;
	snprintf(text, sizeof(text),
		 "boot set %s was not found well within %u s: rebooting into "
		 "the previous one",
		 id, s->deadline);
	say(text);
	pid = fork();
	if (!pid) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	sleep(ORDERLY);
	say("the reboot hangs: resetting");
	sync();
	reboot(RB_AUTOBOOT);
	return -errno;
}
