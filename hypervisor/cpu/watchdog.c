/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two watchdogs of the whole machine.
 *
 * `watchdog`: each CPU has a timer that beats twice a second. An NMI, which
 * comes through whatever a CPU is stuck in, looks once a second whether there
 * was a beat; after watchdog_timeout= seconds without one the hypervisor panics
 * with the registers of the CPU that hangs, which restarts the machine.
 *
 * `boot_watchdog=SECONDS`: the machine restarts unless dom0 has said by then
 * that it is well (SCHEDOP_watchdog with id 0 and timeout 0). It catches
 * whatever goes wrong from here to there: the hypervisor, dom0's kernel, its
 * init, or a health check that never ends.
 *
 * The NMIs come from channel 0 of the PIT, which every PC has and nobody else
 * here wants: its interrupt (18.2 Hz) is routed to the boot CPU as NMI, and the
 * boot CPU passes it on once a second. Only to CPUs we have started: one that
 * firmware has parked would not survive it. NMIs are counted rather than time
 * read, so that a virtual machine which was not run for a while does not take
 * that for a hang.
 *
 * What runs in an NMI takes no locks, and touches nothing that may fault.
 */
#include <bh/acpi.h>
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/machine.h>
#include <bh/smp.h>
#include <bh/symbols.h>
#include <bh/timer.h>
#include <bh/watchdog.h>

#define NMI_HZ       18 /* 1193182 / 65536 */
#define BEAT         MILLISECS(500)
#define TIMEOUT_MIN  2
#define BOOT_TIMEOUT 180 /* seconds until dom0 is built and CPU 0 free */

struct watchdog {
	struct timer timer;
	u32 beat;         /* by the timer */
	u32 seen, missed; /* by the NMI */
};

static bool opt_watchdog;
static u32 opt_timeout = 5, opt_boot;
PARAM_BOOL("watchdog", opt_watchdog);
PARAM_UINT("watchdog_timeout", opt_timeout);
PARAM_UINT("boot_watchdog", opt_boot);

static struct watchdog boot_cpu_watchdog;
static u32 boot_left; /* seconds; 0: not armed */
static u32 nr_nmis;
static u32 held;
static bool nmi_works;
static struct timer boot_timer; /* where there is no NMI */

static void __noreturn boot_expired(const struct cpu_user_regs *regs)
{
	console_force_sync();
	printk(LVL_ERR
	       "boot watchdog: dom0 has not said within %u seconds that it is well: restarting\n",
	       opt_boot);
	if (regs)
		show_registers(regs);
	machine_restart();
}

static void boot_second(const struct cpu_user_regs *regs)
{
	u32 left = READ_ONCE(boot_left);

	if (!left)
		return;
	/* Whoever disarms it meanwhile wins. */
	if (__atomic_compare_exchange_n(&boot_left, &left, left - 1, false,
					__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
	    left == 1)
		boot_expired(regs);
}

bool watchdog_boot_done(void)
{
	u32 left = __atomic_exchange_n(&boot_left, 0, __ATOMIC_SEQ_CST);

	if (left)
		printk(LVL_INFO
		       "boot watchdog: dom0 is well after %u of %u seconds\n",
		       opt_boot - left, opt_boot);
	return left;
}

void watchdog_hold(void)
{
	__atomic_add_fetch(&held, 1, __ATOMIC_SEQ_CST);
}

void watchdog_release(void)
{
	__atomic_sub_fetch(&held, 1, __ATOMIC_SEQ_CST);
}

/* ---- beats ----------------------------------------------------------------- */

static void beat(void *arg)
{
	struct watchdog *w = arg;

	w->beat++;
	timer_set(&w->timer, NOW() + BEAT);
}

static void check_this_cpu(const struct cpu_user_regs *regs)
{
	struct watchdog *w = READ_ONCE(this_cpu()->watchdog);
	u32 limit;

	if (!w)
		return;
	if (w->beat != w->seen || READ_ONCE(held)) {
		w->seen = w->beat;
		w->missed = 0;
		return;
	}
	/* The boot CPU runs no timers until dom0 is built. */
	limit = w->beat || smp_processor_id()
			? opt_timeout
			: max(opt_timeout, (u32)BOOT_TIMEOUT);
	if (++w->missed < limit)
		return;
	watchdog_hold();
	console_force_sync();
	printk(LVL_ERR "watchdog: CPU%u has been stuck for %u seconds\n",
	       smp_processor_id(), limit);
	show_registers(regs);
	if (!(regs->cs & 3))
		backtrace(regs->rip, regs->rsp, regs->rbp);
	panic("watchdog: CPU%u hangs\n", smp_processor_id());
}

void watchdog_nmi(struct cpu_user_regs *regs)
{
	unsigned int cpu;

	if (!nmi_works) {
		nr_nmis++; /* watchdog_init() tries whether they come */
		return;
	}
	if (smp_processor_id() == 0) {
		if (++nr_nmis % NMI_HZ)
			return;
		for_each_online_cpu(cpu)
			if (cpu && opt_watchdog)
				lapic_send_nmi(cpus[cpu]->apic_id);
		boot_second(regs);
	}
	check_this_cpu(regs);
}

/* ---- start ------------------------------------------------------------------- */

static void start_cpu(unsigned int cpu, struct watchdog *w)
{
	timer_init(&w->timer, beat, w, cpu);
	timer_set(&w->timer, NOW()); /* beats as soon as timers run there */
	WRITE_ONCE(cpus[cpu]->watchdog, w);
}

static void boot_tick(void *unused)
{
	boot_second(NULL);
	if (boot_left)
		timer_set(&boot_timer, NOW() + SECONDS(1));
}

static void nobody(void *unused)
{
}

/* Channel 0 free running, its pin an NMI of this CPU. Does one come? */
static bool start_nmi(void)
{
	unsigned int gsi = acpi_isa_gsi(0);
	unsigned long f;

	if (irq_request(gsi, nobody, NULL))
		return false; /* reserved: dom0 is refused it */
	outb(0x34, 0x43);     /* mode 2, 65536 */
	outb(0, 0x40);
	outb(0, 0x40);
	f = spin_lock_irqsave(&irq_lock);
	ioapic_route_nmi(gsi, cpus[0]->apic_id);
	spin_unlock_irqrestore(&irq_lock, f);
	for (unsigned int i = 0; i < 5000 && READ_ONCE(nr_nmis) < 2; i++)
		udelay(100);
	if (nr_nmis >= 2)
		return true;
	f = spin_lock_irqsave(&irq_lock);
	ioapic_mask(gsi, true);
	spin_unlock_irqrestore(&irq_lock, f);
	return false;
}

void watchdog_init(void)
{
	if (!opt_watchdog && !opt_boot)
		return;
	opt_timeout = max(opt_timeout, (u32)TIMEOUT_MIN);
	boot_left = opt_boot;
	nmi_works = start_nmi();
	if (nmi_works && opt_watchdog) {
		start_cpu(0, &boot_cpu_watchdog);
		printk(LVL_INFO
		       "watchdog: a CPU that hangs for %u seconds restarts the machine\n",
		       opt_timeout);
	}
	if (!nmi_works)
		printk(LVL_WARN
		       "watchdog: no NMI from the PIT: hanging CPUs stay unseen\n");
	if (!opt_boot)
		return;
	printk(LVL_INFO
	       "boot watchdog: dom0 has %u seconds to say that it is well\n",
	       opt_boot);
	if (!nmi_works) {
		timer_init(&boot_timer, boot_tick, NULL, 0);
		timer_set(&boot_timer, NOW() + SECONDS(1));
	}
}

void watchdog_init_cpus(void)
{
	unsigned int cpu;

	if (!opt_watchdog || !nmi_works)
		return;
	for_each_online_cpu(cpu) {
		struct watchdog *w = cpu ? xzalloc(sizeof(*w)) : NULL;

		if (w)
			start_cpu(cpu, w);
		else if (cpu)
			printk(LVL_WARN "no memory to watch CPU%u\n", cpu);
	}
}
