/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead-setup: turns this server into a host. A run is a fixed list of
 * steps; each can say what it would do (plan), do it (apply) and take it back
 * (undo). What was done is recorded as it is done, so a second run does only
 * what is missing and --undo takes back exactly what this program did.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answers {
	char vg[128], pool[128], pv[512]; /* pv: comma-separated devices */
	char pool_size[32];               /* lvcreate -l or -L argument */
	char bridge[16], nic[16];
	bool network; /* make the bridge */

	uint32_t dom0_mib, dom0_vcpus; /* 0: computed */
	bool force;                    /* use devices that hold data */
	uint32_t net_timeout; /* seconds until the network is rolled back */
};

struct host { /* what was found out; see probe.c */
	bool efi, secure_boot, x86_64, guest;
	uint64_t ram_mib;
	uint32_t cpus;
	char default_nic[16], gateway[64];
	enum {
		NET_NONE,
		NET_NETWORKD,
		NET_NM,
		NET_IFUPDOWN
	} manager;
	char grub_dir[32];
};

enum finding {
	R_GOOD,
	R_WARN,
	R_BAD
};
typedef void report_fn(enum finding f, const char *fmt, ...);

/* main.c */
extern struct answers answers;
extern struct host host;
extern bool opt_dry_run;
void report(enum finding f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Notes something done, for --undo; survives a crash. */
int state_add(const char *key, const char *value);
/* Value of the last such note, or NULL. */
const char *state_get(const char *key);
int state_drop(const char *key);

/* run.c: commands without a shell, argv ends with NULL. run() is for changes:
 * printed, not done in a dry run; run_output() for questions, always asked. */
int run(const char *const argv[]);
int run_output(const char *const argv[], char **ret);

/* probe.c */
void probe_host(struct host *h);
int check_host(const struct host *h); /* number of bad findings */

/* One file per step. */
struct step {
	const char *name;
	int (*plan)(char *text, size_t size); /* 1: to do, 0: done, <0: error */
	int (*apply)(void);
	int (*undo)(void);
};
extern const struct step step_storage, step_network, step_dom0, step_boot;

/* network.c, also used by the rollback timer */
int network_rollback(void);

/* ui.c: newt dialogs that fill `answers`. 0, or -ECANCELED. */
int ui_ask(void);
