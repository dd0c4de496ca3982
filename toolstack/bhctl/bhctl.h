/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bhctl: what its commands share.
 *
 * A command is a line in the table of main.c and a function. Options are the
 * same everywhere, so they are parsed once; the table says which ones a
 * command takes. Commands that change a supervised guest ask its supervisor
 * (control socket) or systemd; what only concerns the hypervisor or the store
 * is done here.
 */
#pragma once

#include <json-c/json.h>
#include <systemd/sd-bus.h>

#include "bulkhead/domstore.h"

#define RUN_DIR      "/run/bulkhead/guests"
#define ETC_DIR      "/etc/bulkhead/guests"
#define JSON_VERSION 1

/* Exit codes, documented in bhctl(8). */
enum {
	EX_FAIL = 1,
	EX_USAGE_ERR = 2,
	EX_NO_GUEST = 3,
	EX_TIMEOUT = 4,
	EX_STATE = 5, /* already running, not running, busy */
};

enum {
	O_JSON = 1 << 0,
	O_WAIT = 1 << 1,
	O_TIMEOUT = 1 << 2,
	O_FORCE = 1 << 3,
	O_FILE = 1 << 4,
	O_ALL = 1 << 5,
	O_CLEAR = 1 << 6,
	O_WEIGHT = 1 << 7,
	O_CAP = 1 << 8,
	O_CONSOLE = 1 << 9,
	O_SOFT = 1 << 10,
	O_COUNT = 1 << 11,
	O_DELAY = 1 << 12,
	O_NOW = 1 << 13,
};

struct ctl {
	bool json, wait, force, all, clear, console, soft, now;
	unsigned int timeout, count, delay;
	const char *file;
	uint32_t weight, cap; /* 0 and UINT32_MAX: not given */
	int argc;
	char **argv; /* positional arguments */
	struct bh_hv *hv;
	struct bh_xs *xs;
};

/* Prints "bhctl: ..." and returns code. */
int fail(int code, const char *fmt, ...) __printf_like(2, 3);
/* Open on first use; on failure they have said why and return an exit code. */
int need_hv(struct ctl *c);
int need_xs(struct ctl *c);
/* Both, and the guest's domain: 0 or an exit code. */
int need_guest(struct ctl *c, const char *name, uint32_t *ret_domid);
void print_json(struct json_object *o);
struct json_object *json_doc(void); /* with "schema" */

/* ---- unit.c: systemd --------------------------------------------------- */

/* "StartUnit", "StopUnit", "KillUnit"...; waits for the job's end. */
int unit_job(const char *method, const char *guest, bool wait, char **ret_why);
int unit_enable(const char *guest, bool on);
bool unit_is_enabled(const char *guest);
bool have_systemd(void);
int start_supervisor(const char *guest);
/* systemd has it running, or will start it again. */
bool unit_is_up(const char *guest);

/* ---- control.c: the supervisor ----------------------------------------- */

/* -ENOENT: no supervisor. The answer's "error" is the caller's to print. */
int control_call(const char *guest, struct json_object *req,
		 unsigned int timeout, struct json_object **ret);
/* op without arguments; prints errors; 0 or exit code. */
int control_op(struct ctl *c, const char *guest, const char *op, bool wait);
bool has_supervisor(const char *guest);
/* The same, but waits for one that systemd is about to start; 0: for ever. */
bool await_supervisor(const char *guest, uint64_t until_us);
struct json_object *control_status(const char *guest);

/* ---- shared by commands ------------------------------------------------ */

const char *state_letters(uint32_t flags, char buf[8]);
int wait_ready(struct ctl *c, const char *guest);

int cmd_list(struct ctl *c);
int cmd_info(struct ctl *c);
int cmd_start(struct ctl *c);
int cmd_create(struct ctl *c);
int cmd_shutdown(struct ctl *c);
int cmd_reboot(struct ctl *c);
int cmd_destroy(struct ctl *c);
int cmd_pause(struct ctl *c);
int cmd_unpause(struct ctl *c);
int cmd_enable(struct ctl *c);
int cmd_disable(struct ctl *c);
int cmd_rename(struct ctl *c);
int cmd_console(struct ctl *c);
int cmd_top(struct ctl *c);
int cmd_mem_set(struct ctl *c);
int cmd_mem_max(struct ctl *c);
int cmd_vcpu_list(struct ctl *c);
int cmd_vcpu_set(struct ctl *c);
int cmd_vcpu_pin(struct ctl *c);
int cmd_sched(struct ctl *c);
int cmd_block_attach(struct ctl *c);
int cmd_block_detach(struct ctl *c);
int cmd_block_list(struct ctl *c);
int cmd_network_attach(struct ctl *c);
int cmd_network_detach(struct ctl *c);
int cmd_network_list(struct ctl *c);
int cmd_save(struct ctl *c);
int cmd_restore(struct ctl *c);
int cmd_dmesg(struct ctl *c);
int cmd_events(struct ctl *c);
int cmd_sysrq(struct ctl *c);
