/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console: what the hypervisor and dom0 print goes to a ring (for `dmesg`),
 * to the serial ports and, until dom0 owns the screen, to VGA.
 *
 * Serial input belongs to dom0 (VIRQ_CONSOLE) until Ctrl-A is typed three
 * times; then keys are debug keys, and three more Ctrl-A give it back.
 *
 * Locking: console_lock (irqsave, highest rank) guards ring and devices, so
 * printk works anywhere. A panic forgets the lock.
 */
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/evtchn.h>
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/percpu.h>

#include "console_private.h"

#define RING_SIZE 0x10000u /* power of two */

static struct spinlock console_lock = SPINLOCK_INIT(LOCK_CONSOLE);
static char ring[RING_SIZE];
static u32 ring_prod, ring_cons; /* free-running; cons: cleared up to here */
static bool serial_on[2], vga_wanted = true, vga_on, vga_keep,
			  at_line_start = true;
static u32 log_level = 2, guest_level = 1;
static char console_opt[64] = "com1,vga";
PARAM_STR("console", console_opt);

static int parse_level(const char *s)
{
	static const char *const names[] = { "error", "warning", "info",
					     "debug", "all" };

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(s, names[i], strlen(names[i])))
			return i;
	return !strncmp(s, "none", 4) ? 0 : 2;
}

static int parse_loglvl(const char *s)
{
	log_level = parse_level(s);
	return 0;
}
PARAM_FN("loglvl", parse_loglvl);

static int parse_guest_loglvl(const char *s)
{
	guest_level = !strncmp(s, "none", 4) ? 0 : 1 + parse_level(s);
	return 0;
}
PARAM_FN("guest_loglvl", parse_guest_loglvl);

static int parse_vga(const char *s)
{
	vga_keep = strstr(s, "keep") != NULL;
	return 0;
}
PARAM_FN("vga", parse_vga);

static void emit(char c)
{
	ring[ring_prod++ & (RING_SIZE - 1)] = c;
	if (ring_prod - ring_cons > RING_SIZE)
		ring_cons = ring_prod - RING_SIZE;
	for (unsigned int i = 0; i < 2; i++)
		if (serial_on[i])
			serial_putc(i, c);
	if (vga_on)
		vga_putc(c);
}

static void emit_text(const char *s, const char *prefix)
{
	for (; *s; s++) {
		if (at_line_start && prefix)
			for (const char *p = prefix; *p; p++)
				emit(*p);
		emit(*s);
		at_line_start = *s == '\n';
	}
}

/* At most 50 guest-caused lines a second: a guest must not own the console. */
static bool guest_rate_ok(void)
{
	static u64 window;
	static u32 used, dropped;
	u64 now = cpu_khz ? rdtsc() / (cpu_khz * 1000) : 0;

	if (now != window) {
		char buf[64];

		if (dropped) {
			snprintf(buf, sizeof(buf),
				 "%u guest-caused messages dropped\n", dropped);
			emit_text(buf, "(BH) ");
		}
		window = now;
		used = dropped = 0;
	}
	if (used < 50) {
		used++;
		return true;
	}
	dropped++;
	return false;
}

static void vprintk(const char *fmt, va_list ap)
{
	char buf[512];
	u32 level = 1;
	unsigned long flags;

	if (*fmt == '\001') {
		level = fmt[1] - '0';
		fmt += 2;
	}
	if (level == 4 ? !guest_level : level > log_level)
		return;
	vsnprintf(buf, sizeof(buf), fmt, ap);
	flags = spin_lock_irqsave(&console_lock);
	if (level != 4 || guest_rate_ok())
		emit_text(buf, "(BH) ");
	spin_unlock_irqrestore(&console_lock, flags);
}

void printk(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintk(fmt, ap);
	va_end(ap);
}

/* ---- set-up --------------------------------------------------------------- */

void __init console_init_early(void)
{
	vga_wanted = false;
	for (const char *s = console_opt; s && *s;) {
		if (!strncmp(s, "com1", 4))
			serial_on[0] = serial_init(0);
		else if (!strncmp(s, "com2", 4))
			serial_on[1] = serial_init(1);
		else if (!strncmp(s, "vga", 3))
			vga_wanted = true;
		s = strchr(s, ',');
		if (s)
			s++;
	}
}

void __init console_mm_ready(void)
{
	unsigned long flags;

	if (!vga_wanted || !vga_init())
		return;
	flags = spin_lock_irqsave(&console_lock);
	for (u32 i = ring_cons; i != ring_prod; i++)
		vga_putc(ring[i & (RING_SIZE - 1)]);
	vga_on = true;
	spin_unlock_irqrestore(&console_lock, flags);
}

void __init console_end_boot(void)
{
	if (!vga_keep)
		vga_on = false;
}

void console_force_sync(void)
{
	spin_bust(&console_lock);
}

bool console_owns_port(u16 port)
{
	return serial_owns_port(port);
}

/* ---- the ring ------------------------------------------------------------- */

size_t console_ring_read(char *buf, size_t n, u32 *index, bool clear)
{
	unsigned long flags = spin_lock_irqsave(&console_lock);
	u32 idx = *index;
	size_t i;

	if (idx - ring_cons > ring_prod - ring_cons)
		idx = ring_cons; /* overwritten since, or 0: the oldest */
	for (i = 0; i < n && idx != ring_prod; i++)
		buf[i] = ring[idx++ & (RING_SIZE - 1)];
	if (clear)
		ring_cons = idx;
	*index = idx;
	spin_unlock_irqrestore(&console_lock, flags);
	return i;
}

/* ---- input ---------------------------------------------------------------- */

#define RX_SIZE 1024u
static char rx[RX_SIZE];
static u32 rx_prod, rx_cons;
static struct spinlock rx_lock = SPINLOCK_INIT(LOCK_NONE);
static bool keys_mode;
static unsigned int ctrl_a_count;
static struct tasklet key_tasklet;
static char keys[16]; /* typed ahead; what does not fit is lost */
static u32 keys_prod, keys_cons;

static void run_keys(void *unused)
{
	unsigned long flags = spin_lock_irqsave(&rx_lock);

	while (keys_cons != keys_prod) {
		char key = keys[keys_cons++ % sizeof(keys)];

		spin_unlock_irqrestore(&rx_lock, flags);
		keyhandler_run(key);
		flags = spin_lock_irqsave(&rx_lock);
	}
	spin_unlock_irqrestore(&rx_lock, flags);
}

/* True: c was dealt with here and is not for dom0. */
static bool switch_input(char c)
{
	unsigned long flags;

	if (c == 0x01) {
		if (++ctrl_a_count < 3)
			return keys_mode;
		ctrl_a_count = 0;
		keys_mode = !keys_mode;
		printk(LVL_ERR "Serial input to %s (Ctrl-A three times "
			       "switches)%s\n",
		       keys_mode ? "Bulkhead" : "dom0",
		       keys_mode ? "; h for help" : "");
		return true;
	}
	ctrl_a_count = 0;
	if (keys_mode) {
		flags = spin_lock_irqsave(&rx_lock);
		if (keys_prod - keys_cons < sizeof(keys))
			keys[keys_prod++ % sizeof(keys)] = c;
		spin_unlock_irqrestore(&rx_lock, flags);
		tasklet_schedule(&key_tasklet);
	}
	return keys_mode;
}

static void serial_input(void *arg)
{
	unsigned int com = (unsigned long)arg;
	bool any = false;
	int c;

	while ((c = serial_getc(com)) >= 0) {
		unsigned long flags;

		if (switch_input(c))
			continue;
		flags = spin_lock_irqsave(&rx_lock);
		if (rx_prod - rx_cons < RX_SIZE)
			rx[rx_prod++ & (RX_SIZE - 1)] = c;
		spin_unlock_irqrestore(&rx_lock, flags);
		any = true;
	}
	if (any)
		evtchn_send_global_virq(VIRQ_CONSOLE);
}

void __init console_init_irq(void)
{
	tasklet_init(&key_tasklet, run_keys, NULL);
	for (unsigned int i = 0; i < 2; i++)
		if (serial_on[i])
			serial_init_irq(i, serial_input);
}

size_t console_read_input(char *buf, size_t n)
{
	unsigned long flags = spin_lock_irqsave(&rx_lock);
	size_t i;

	for (i = 0; i < n && rx_cons != rx_prod; i++)
		buf[i] = rx[rx_cons++ & (RX_SIZE - 1)];
	spin_unlock_irqrestore(&rx_lock, flags);
	return i;
}

/* ---- hypercall ------------------------------------------------------------ */

void console_write_guest(struct domain *d, const char *s, size_t n)
{
	unsigned long flags = spin_lock_irqsave(&console_lock);

	for (size_t i = 0; i < n; i++) {
		u8 c = s[i];

		if (c >= ' ' || c == '\n' || c == '\r' || c == '\t' ||
		    c == '\b' || c == 0x1b || c == 0x07)
			emit(c);
		at_line_start = c == '\n';
	}
	spin_unlock_irqrestore(&console_lock, flags);
}

static long console_write(struct vcpu *v, unsigned long a[6])
{
	char buf[256];

	while (a[1]) {
		size_t n = min(a[1], sizeof(buf));

		if (copy_from_guest(buf, GPTR(a[2]), n))
			return -EFAULT;
		console_write_guest(v->domain, buf, n);
		a[1] -= n;
		a[2] += n;
		if (a[1] && hypercall_preempt())
			return -ERESTART;
	}
	return 0;
}

/* HYPERVISOR_console_io(cmd, count, buffer): dom0 only. */
long do_console_io(struct vcpu *v, unsigned long a[6])
{
	char buf[128];
	size_t n;

	if (!is_control_domain(v->domain))
		return -EPERM;
	a[1] = (u32)a[1];
	if (a[1] > 0x7fffffff)
		return -EINVAL;
	switch ((u32)a[0]) {
	case CONSOLEIO_write:
		return console_write(v, a);
	case CONSOLEIO_read:
		n = console_read_input(buf, min(a[1], sizeof(buf)));
		return copy_to_guest(GPTR(a[2]), buf, n) ? -EFAULT : (long)n;
	}
	return -ENOSYS;
}
