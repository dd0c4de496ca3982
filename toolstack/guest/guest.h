/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor: one process for one guest.
 *
 *   BUILDING -> RUNNING -> (guest shuts down) -> BUILDING again, or the end
 *
 * Everything it needs to know after a crash of itself is in the hypervisor, in
 * the store and in state_dir/state, so a new process continues where the old
 * one was killed (adopt.c). It never takes the guest with it.
 */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "bulkhead/domstore.h"

#define RUN_DIR   "/run/bulkhead/guests"
#define ETC_DIR   "/etc/bulkhead/guests"
#define VAR_DIR   "/var/lib/bulkhead/guests"
#define DUMP_DIR  "/var/lib/bulkhead/dump"
#define CACHE_DIR "/var/cache/bulkhead/kernels"

enum phase {
	PHASE_WAITING, /* for other guests */
	PHASE_BUILDING,
	PHASE_RUNNING,
	PHASE_STOPPING, /* was asked to shut down */
	PHASE_SAVING,
	PHASE_PRESERVED, /* dead, kept for a look */
	PHASE_ENDING,    /* being taken apart, for good */
};

extern const char *const phase_names[];

#define SCROLLBACK 65536u

struct client {
	struct client *next;
	struct guest *g;
	int fd;
	sd_event_source *src;
	bool control; /* else console */
	char *out;
	size_t out_len, out_alloc;
	char in[8192];
	size_t in_len;
	char *waiting_op; /* reply comes when the guest has stopped */
};

struct console {
	int evtchn_fd;
	int port; /* local, -1 = none */
	sd_event_source *src, *throttle;
	void *ring; /* mapped page */
	char back[SCROLLBACK];
	size_t back_len, back_pos;
	char line[1024];
	size_t line_len;
	uint64_t window_start;
	size_t window_bytes;
	unsigned int window_idle; /* looks that found nothing */
	char pending[4096];       /* typed, waiting for room in the ring */
	size_t pending_len;
};

struct saving {
	pid_t pid; /* 0: nothing is being saved */
	int fd;    /* what it has to say */
	sd_event_source *src;
	char *path;
	char text[512];
	size_t len;
	bool stop_wanted; /* if the guest runs on */
};

struct guest {
	const char *name;
	char run_dir[128];
	sd_event *event;
	struct bh_hv *hv;
	struct bh_xs *xs;
	sd_event_source *xs_src, *timer;
	int lock_fd;
	struct bh_guest_cfg *cfg;
	char *config_path;

	enum phase phase;
	struct bh_domain dom;
	bool have_dom;
	bool ready, notified;
	uint64_t started_us;
	unsigned int boots, quick_fails;
	uint64_t build_us;

	struct bh_xs_watch *w_release, *w_ready;
	struct console con;
	struct client *clients;
	int listen_console, listen_control;
	sd_bus *bus;
	struct saving save;
	bool restart_wanted; /* our own reboot request */
	bool last_good_boot; /* booting the fallback */
	int exit_code;
	char *exit_text;
};

/* ---- main.c ------------------------------------------------------------ */

void guest_finish(struct guest *g, int code, const char *fmt, ...)
	__printf_like(3, 4);
void guest_busy(bool on);
void guest_set_phase(struct guest *g, enum phase p);
void guest_mark_ready(struct guest *g, const char *how);
int guest_load_config(struct guest *g, struct bh_err *e);

/* ---- start.c ----------------------------------------------------------- */

int guest_build(struct guest *g, struct bh_err *e);
int guest_attach_devices(struct guest *g, struct bh_err *e);
/* Destroys the domain and all it has; safe on a half-built one. */
void guest_teardown(struct guest *g);

/* ---- boot.c ------------------------------------------------------------ */

struct boot_files {
	char *kernel, *ramdisk, *cmdline;
};
int boot_files_get(struct guest *g, struct boot_files *ret, struct bh_err *e);
void boot_files_done(struct boot_files *b);
/* Keeps what was booted as the fallback, once the guest is up. */
void boot_files_keep(struct guest *g);
/* Whether another kernel is worth a try after this one crashed. */
bool boot_fallback_possible(struct guest *g);

/* ---- adopt.c ----------------------------------------------------------- */

int state_save(struct guest *g);
/* 1 if a running domain was found and taken over. */
int guest_adopt(struct guest *g, struct bh_err *e);

/* ---- life.c ------------------------------------------------------------ */

/* Looks whether the domain has shut down or gone, and acts. */
void guest_check(struct guest *g);
int guest_ask_shutdown(struct guest *g, const char *how);
void guest_stop(struct guest *g);
int guest_watch(struct guest *g, struct bh_err *e);

/* ---- console.c --------------------------------------------------------- */

int console_start(struct guest *g, struct bh_err *e);
void console_stop(struct guest *g);
void console_poll(struct guest *g);
void console_input(struct guest *g, const char *buf, size_t len);
size_t console_copy_back(struct console *c, char *buf);
void console_flush_line(struct guest *g);

/* ---- sockets.c --------------------------------------------------------- */

int sockets_start(struct guest *g, struct bh_err *e);
void sockets_stop(struct guest *g);
void client_send(struct client *c, const char *buf, size_t len);
void sockets_console_out(struct guest *g, const char *buf, size_t len);
/* Answers those that wait for op (NULL: for anything). */
void sockets_answer_waiting(struct guest *g, const char *op, const char *error);

/* ---- control.c --------------------------------------------------------- */

void control_line(struct client *c, const char *line);
void control_reply_error(struct client *c, const char *text);
void control_reply_ok(struct client *c);

/* ---- dump.c ------------------------------------------------------------ */

void guest_report_crash(struct guest *g);
int guest_dump_core(struct guest *g, struct bh_err *e);

/* ---- save.c ------------------------------------------------------------ */

/* Begins; who waits for "save" is answered at the end. */
int guest_save(struct guest *g, const char *path, struct bh_err *e);
/* Stops it if it goes on; the guest is left as it is. */
void guest_save_abandon(struct guest *g, const char *why);

/* ---- systemd.c --------------------------------------------------------- */

void machine_register(struct guest *g);
/* Somebody wants our unit stopped, as far as can be found out. */
bool unit_is_stopped(const struct guest *g);
/* This is a new attempt of systemd's, nobody's wish. */
bool unit_was_restarted(const struct guest *g);
