/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks between runs: one per guest (held for a whole operation), one per
 * volume group (held while space is checked and taken), one per template
 * (shared by guests being made from it). They are flock(2)s on files in
 * /run/bulkhead/lock, so they vanish with their holder; the file says who
 * holds it. Order: guest, template, volume group.
 */
#pragma once

#include <stdbool.h>

enum lock_how {
	LOCK_TRY,
	LOCK_WAIT,
	LOCK_SHARED_TRY
};

/*
 * Takes "KIND.NAME" and notes what for. Returns a descriptor, or fails with
 * who has it. LOCK_QUIET variants: lock_try_quiet returns -EBUSY silently.
 */
int lock_take(const char *kind, const char *name, const char *purpose,
	      enum lock_how how);
/*
 * A shared lock once prepare() has been called under an exclusive one (unless
 * others share it already): for several that only read.
 */
int lock_share(const char *kind, const char *name, const char *purpose,
	       int (*prepare)(const char *kind, const char *name));
int lock_try_quiet(const char *kind, const char *name);
void lock_drop(int fd);

static inline void lock_dropp(int *fd)
{
	lock_drop(*fd);
}
#define _cleanup_lock_ __attribute__((cleanup(lock_dropp)))
