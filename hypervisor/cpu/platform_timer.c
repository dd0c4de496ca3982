/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference clock: a counter that all CPUs read and that does not depend
 * on the processor. HPET, else the ACPI PM timer, else channel 0 of the PIT
 * (clocksource= chooses). TSC and local APIC timer are measured against it.
 */
#include <bh/acpi.h>
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/machine.h>
#include <bh/mm.h>
#include <bh/smp.h>

#define PIT_HZ       1193182
#define PM_HZ        3579545
#define CALIBRATE_MS 20

u64 platform_timer_hz __read_mostly, platform_timer_mask __read_mostly;

static enum {
	PT_PIT,
	PT_PM,
	PT_HPET
} source __read_mostly;
static volatile u32 *hpet __read_mostly;
static struct spinlock pit_lock = SPINLOCK_INIT(LOCK_NONE);
static char opt_clocksource[16];
PARAM_STR("clocksource", opt_clocksource);

static u64 pit_read(void)
{
	unsigned long f = spin_lock_irqsave(&pit_lock);
	u16 v;

	outb(0x00, 0x43); /* latch channel 0 */
	v = inb(0x40);
	v |= inb(0x40) << 8;
	spin_unlock_irqrestore(&pit_lock, f);
	return (u16)-v; /* it counts down */
}

u64 platform_timer_read(void)
{
	switch (source) {
	case PT_HPET:
		return hpet[0xf0 / 4];
	case PT_PM:
		return inl(acpi.pm_timer_port) & platform_timer_mask;
	default:
		return pit_read();
	}
}

static bool wanted(const char *name)
{
	return !opt_clocksource[0] || !strcmp(opt_clocksource, name);
}

/* A counter that does not count is worse than none. */
static bool counts(void)
{
	u64 a = platform_timer_read();

	for (unsigned int i = 0; i < 100000; i++)
		if (platform_timer_read() != a)
			return true;
	return false;
}

static bool try_hpet(void)
{
	u32 period;

	if (!acpi.hpet_addr || !wanted("hpet"))
		return false;
	hpet = ioremap(acpi.hpet_addr, PAGE_SIZE, PTE_HV_UC);
	if (!hpet)
		return false;
	period = hpet[1]; /* femtoseconds */
	if (period < 100000 || period > 100000000)
		return false;
	hpet[0x10 / 4] = (hpet[0x10 / 4] & ~2U) | 1; /* run, not legacy */
	source = PT_HPET;
	platform_timer_hz = 1000000000000000UL / period;
	platform_timer_mask = 0xffffffff;
	return counts();
}

static bool try_pm(void)
{
	if (!acpi.pm_timer_port || !wanted("acpi"))
		return false;
	source = PT_PM;
	platform_timer_hz = PM_HZ;
	platform_timer_mask = acpi.pm_timer_32bit ? 0xffffffff : 0xffffff;
	return counts();
}

void platform_timer_init(void)
{
	static const char *const names[] = { "PIT", "ACPI PM timer", "HPET" };

	if (!try_hpet() && !try_pm()) {
		source = PT_PIT;
		platform_timer_hz = PIT_HZ;
		platform_timer_mask = 0xffff;
		outb(0x34, 0x43); /* channel 0, mode 2, 65536 */
		outb(0, 0x40);
		outb(0, 0x40);
		if (!counts())
			panic("no platform timer: HPET, PM timer and PIT do not count\n");
	}
	printk(LVL_INFO "platform timer: %s, %lu.%03lu MHz\n", names[source],
	       platform_timer_hz / 1000000, platform_timer_hz / 1000 % 1000);
}

void udelay(unsigned int us)
{
	u64 last = platform_timer_read(), need, done = 0;

	need = us * platform_timer_hz / 1000000 + 1;
	while (done < need) {
		u64 now = platform_timer_read();

		done += (now - last) & platform_timer_mask;
		last = now;
		cpu_relax();
	}
}

struct sample {
	u64 pt, tsc;
	u32 lapic;
};

/* The tightest of a few readings: the TSC taken closest to the timer. */
static struct sample take_sample(void)
{
	struct sample best = { 0 };
	u64 best_width = ~0UL;

	for (unsigned int i = 0; i < 8; i++) {
		u64 t0 = rdtsc_ordered();
		u64 p = platform_timer_read();
		u64 t1 = rdtsc_ordered();

		if (t1 - t0 < best_width) {
			best_width = t1 - t0;
			best.pt = p;
			best.tsc = t0 + (t1 - t0) / 2;
			best.lapic = lapic_timer_count();
		}
	}
	return best;
}

void clocks_calibrate(u64 *tsc_hz, u64 *lapic_hz)
{
	unsigned long f = irq_save();
	struct sample a, b;
	u64 ticks = 0, last, need;

	lapic_timer_start_raw(0xffffffff);
	a = take_sample();
	last = a.pt;
	need = platform_timer_hz * CALIBRATE_MS / 1000;
	while (ticks < need) {
		u64 now = platform_timer_read();

		ticks += (now - last) & platform_timer_mask;
		last = now;
	}
	b = take_sample();
	ticks += (b.pt - last) & platform_timer_mask;
	lapic_timer_start_raw(0);
	irq_restore(f);

	*tsc_hz = (b.tsc - a.tsc) * platform_timer_hz / ticks;
	*lapic_hz = (u64)(a.lapic - b.lapic) * platform_timer_hz / ticks;
}
