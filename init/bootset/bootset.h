/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boot sets: hypervisor + dom0 kernel + initrd + command lines, kept together
 * as one thing that either boots or does not.
 *
 * A set is a directory BOOT/bulkhead/sets/NNNN with hard links to (or copies
 * of) its files and set.conf. Once renamed into place it never changes; what
 * is known about it lives in BOOT/bulkhead/state, and what GRUB must know in
 * its environment block (bulkhead_default, bulkhead_next).
 *
 *   new -> tried once (bulkhead_next) -> blessed by the health check: default
 *                                     -> otherwise the next boot is the old
 *                                        default, and the set is marked bad.
 *
 * A set on trial is booted with bulkhead.trial on dom0's command line, and
 * then nothing on the way waits for a hand on the console: see deadman.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_SETS 64

struct bootset {
	char id[16];                       /* four digits */
	char hypervisor[128], kernel[128]; /* versions */
	char initrd_tag[64]; /* size and time of the initrd it was made from */
	char hv_tag[64], kernel_tag[64];
	char hv_options[1024], linux_options[1024];
	char state[16]; /* new, trial, good, bad; from the state file */
};

struct bootsets {
	struct bootset set[MAX_SETS]; /* by id, ascending */
	unsigned int nr;
	char default_id[16]; /* last good and default; empty: plain Linux */
	char trying[16];     /* armed to boot once, not yet blessed */
	char why[256];       /* what became of the last try */
};

/* Options from ROOT/etc/default/bulkhead. */
struct settings {
	char hv_options[1024];    /* BULKHEAD_CMDLINE */
	char linux_options[1024]; /* BULKHEAD_CMDLINE_DOM0 */
	char kernel[128];         /* BULKHEAD_KERNEL: version or empty */
	bool network;             /* HEALTH_NETWORK=yes|no */
	unsigned int timeout;     /* HEALTH_TIMEOUT, seconds */
	unsigned int deadline;    /* HEALTH_DEADLINE, seconds of uptime */
};

/* What a new set would be made of. Paths include the root prefix. */
struct candidate {
	char hv_path[256], kernel_path[256], initrd_path[256];
	struct bootset set;
};

/* All paths go through this: BULKHEAD_ROOT for tests, else the real root. */
const char *root_path(char *buf, size_t size, const char *path);

/* Formats into buf; true when it did not fit. */
#define no_fit(...) (bh_snprintf(__VA_ARGS__) < 0)

/* sets.c. All return 0 or a negative errno after saying why. */
int sets_load(struct bootsets *b);
int sets_save_state(const struct bootsets *b);
struct bootset *sets_find(struct bootsets *b, const char *id);
int sets_create(struct bootsets *b, const struct candidate *c,
		struct bootset **ret);
int sets_remove(struct bootsets *b, const char *id);
/* Removes what interrupted runs left of sets; it holds space in /boot. */
void sets_tidy(void);
int sets_prune(struct bootsets *b, const char *running);
/* Is the set that runs on trial (so GRUB says, on the command line)? */
bool running_trial(void);
/* Id of the set this machine runs, or an empty string. */
void running_set(char *buf, size_t size);
int settings_load(struct settings *s);
int boot_lock(void);

/* scan.c */
int scan_candidate(const struct settings *s, struct candidate *ret);

/* verify.c: files are whole, and the initrd can bring up this host. */
int verify_candidate(const struct candidate *c);
int verify_space(const struct candidate *c);

/* grub.c */
int grub_print_menu(const struct bootsets *b, const char *prepare,
		    const char *rel_dir, unsigned int deadline);
int grub_env_set(const char *name, const char *value); /* NULL: unset */
int grub_regenerate(void);

/* health.c */
int health_check(const struct settings *s, char *why, size_t size);
void notify_admin(const char *text); /* journal and motd */

/* The hypervisor's boot watchdog ends a trial that neither the health check nor
 * the deadman could: seconds after the deadline. */
#define DEADLINE_SLACK 240

/* deadman.c: does not return before the set is blessed, and reboots if not */
int deadman(const struct settings *s, const char *id);

/* keep.c: tells apt what not to remove by itself */
int keep_packages(const struct bootsets *b);
