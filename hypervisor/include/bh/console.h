/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Console: serial, VGA text, the ring behind `dmesg`, debug keys. */
#pragma once

#include <bh/types.h>

struct domain;
void console_init_early(void); /* parses com1=, console=; polled output */
/* Right after mm_boot_init(): maps VGA and replays what was printed so far. */
void console_mm_ready(void);
void console_init_irq(void); /* after interrupts work: input by IRQ */
void console_end_boot(void); /* VGA handed to dom0 unless vga=keep */
/* Raw text of a guest, without prefix, to all consoles and the ring. */
void console_write_guest(struct domain *d, const char *s, size_t n);
/* Input not yet read by dom0. */
size_t console_read_input(char *buf, size_t n);
/* Copies ring text from *index on (0: oldest), for sysctl readconsole. */
size_t console_ring_read(char *buf, size_t n, u32 *index, bool clear);
void console_force_sync(void);    /* panic: polled, unlocked */
bool console_owns_port(u16 port); /* one of our UART's ports */

/* Debug keys (Ctrl-A three times switches the serial input to them). */
void keyhandler_register(char key, void (*fn)(void), const char *help);
void keyhandler_run(char key);

/* Command line: declare with PARAM_*; unknown ones are reported. */
struct param { /* 32 bytes, see link.lds */
	const char *name;
	enum {
		P_STR,
		P_UINT,
		P_BOOL,
		P_SIZE,
		P_FN
	} kind;
	void *var;
	size_t len;
};
#define PARAM_STR(name, var)                                 \
	static const struct param __used __section(".param") \
		param_##var = { name, P_STR, var, sizeof(var) }
#define PARAM_UINT(name, var)                                \
	static const struct param __used __section(".param") \
		param_##var = { name, P_UINT, &var, sizeof(var) }
#define PARAM_BOOL(name, var)                                \
	static const struct param __used __section(".param") \
		param_##var = { name, P_BOOL, &var, sizeof(var) }
#define PARAM_SIZE(name, var)                                \
	static const struct param __used __section(".param") \
		param_##var = { name, P_SIZE, &var, sizeof(var) }
/* int fn(const char *value) */
#define PARAM_FN(name, fn)                                   \
	static const struct param __used __section(".param") \
		param_##fn = { name, P_FN, (void *)fn, 0 }
void cmdline_parse(const char *cmdline); /* before console_init_early() */
void cmdline_report(void); /* prints it, and what was not understood */
extern char saved_cmdline[1024];
