/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Printing through console_io, checks, and the verdict. */
#include <stdarg.h>

#include "lib.h"

static unsigned int passed, failed;

static void put(const char *s, size_t n)
{
	HC(__HYPERVISOR_console_io, CONSOLEIO_write, n, s);
}

static size_t number(char *out, u64 v, unsigned int base)
{
	char tmp[24];
	size_t n = 0, len;

	do {
		tmp[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	len = n;
	while (n)
		*out++ = tmp[--n];
	return len;
}

void printk(const char *fmt, ...)
{
	char buf[400];
	size_t n = 0;
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt && n < sizeof(buf) - 32; fmt++) {
		bool lng = false;
		long v;

		if (*fmt != '%') {
			buf[n++] = *fmt;
			continue;
		}
		while (*++fmt == 'l')
			lng = true;
		if (*fmt == 's') {
			for (const char *s = va_arg(ap, const char *);
			     *s && n < sizeof(buf) - 32; s++)
				buf[n++] = *s;
			continue;
		}
		v = lng ? va_arg(ap, long) : va_arg(ap, int);
		if (*fmt == 'd' && v < 0) {
			buf[n++] = '-';
			v = -v;
		}
		n += number(buf + n, lng ? (u64)v : (u32)v,
			    *fmt == 'x' ? 16 : 10);
	}
	va_end(ap);
	put(buf, n);
}

void check(bool ok, const char *what, const char *file, int line)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printk("FAILED %s:%d: %s\n", file, line, what);
}

void check_eq(long got, long want, const char *what, const char *file, int line)
{
	if (got == want) {
		passed++;
		return;
	}
	failed++;
	printk("FAILED %s:%d: %s is %ld (0x%lx), wanted %ld (0x%lx)\n", file,
	       line, what, got, got, want, want);
}

static void __attribute__((noreturn)) power_off(void)
{
	struct sched_shutdown s = { .reason = SHUTDOWN_poweroff };

	for (;;)
		HC(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &s);
}

void skip(const char *why)
{
	printk("RESULT: SKIP %s\n", why);
	power_off();
}

void finish(void)
{
	if (!passed && !failed)
		printk("RESULT: ERROR nothing was checked\n");
	else if (failed)
		printk("RESULT: FAILURE %d of %d checks\n", failed,
		       passed + failed);
	else
		printk("RESULT: SUCCESS %d checks\n", passed);
	power_off();
}
