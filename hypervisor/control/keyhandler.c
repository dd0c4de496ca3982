/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug keys: one letter typed on the serial line (or sysctl debug_keys) runs
 * one function that prints. The owner of a subsystem registers its own key.
 */
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/evtchn.h>
#include <bh/grant.h>
#include <bh/irq.h>
#include <bh/lib.h>
#include <bh/sched.h>
#include <bh/smp.h>
#include <bh/watchdog.h>

static struct {
	void (*fn)(void);
	const char *help;
} keys[128];

void keyhandler_register(char key, void (*fn)(void), const char *help)
{
	keys[key & 0x7f].fn = fn;
	keys[key & 0x7f].help = help;
}

static void for_domains(void (*fn)(struct domain *))
{
	struct domain *d;

	for (u32 id = 0; (d = domain_get_next(id)) != NULL;) {
		fn(d);
		id = d->id + 1u;
		domain_put(d);
	}
}

static void show_help(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].fn)
			printk(LVL_ERR " key '%c': %s\n", i, keys[i].help);
}

static void show_domain(struct domain *d)
{
	struct vcpu *v;

	printk(LVL_ERR "domain %u: refs %d pauses %d dying %d shutdown %d/%u "
		       "pages %lu/%lu handle %02x%02x%02x%02x\n",
	       d->id, d->refs, d->pause_count, d->dying, d->is_shut_down,
	       d->shutdown_code, d->tot_pages, d->max_pages, d->handle[0],
	       d->handle[1], d->handle[2], d->handle[3]);
	for_each_vcpu(d, v)
		printk(LVL_ERR "  vCPU %u: CPU %u%s flags %lx pauses %d "
			       "pending %02x mask %02x rip %lx time %lu ms\n",
		       v->id, v->processor, v->is_running ? " running" : "",
		       v->pause_flags, v->pause_count,
		       v->info ? v->info->evtchn_upcall_pending : 0,
		       v->info ? v->info->evtchn_upcall_mask : 0,
		       v->pv.regs.rip, vcpu_cpu_time(v) / 1000000);
}

static void show_domains(void)
{
	for_domains(show_domain);
}

static void show_events(void)
{
	for_domains(evtchn_dump);
}

static void show_grants(void)
{
	for_domains(grant_dump);
}

static void show_memory(void)
{
	printk(LVL_ERR "free %lu KiB of %lu KiB frame space\n",
	       heap_free_pages() * 4, max_mfn * 4);
}

/* What a domain asked for: hypercalls by number (entries of multicalls one by
 * one), emulations, faults. tests/bench/guest-kernel reads it. */
static void counters_of(struct domain *d)
{
	struct vcpu *v;

	printk("d%u: emulated: %lu page-table writes, %lu privileged; %lu faults bounced\n",
	       d->id, d->stats_ptwr, d->stats_priv_emul,
	       d->stats_faults_bounced);
	for_each_vcpu(d, v) {
		printk(" v%u:", v->id);
		for (unsigned int i = 0; i < ARRAY_SIZE(v->stats_hypercalls);
		     i++)
			if (v->stats_hypercalls[i])
				printk(" [%u]=%lu", i, v->stats_hypercalls[i]);
		printk("\n");
	}
}

static void counters(void)
{
	for_domains(counters_of);
}

static void audit_one(struct domain *d)
{
	printk(LVL_ERR "audit domain %u: %u problems\n", d->id,
	       domain_mm_audit(d));
}

static void audit(void)
{
	for_domains(audit_one);
}

/* To see the watchdog work. */
static void hang(void)
{
	printk(LVL_ERR "CPU%u hangs on request\n", smp_processor_id());
	watchdog_release();
	irq_disable();
	for (;;)
		cpu_relax();
}

static void reboot(void)
{
	printk(LVL_ERR "Rebooting on request\n");
	machine_restart();
}

void keyhandler_run(char key)
{
	static bool builtin;

	if (!builtin) {
		builtin = true;
		keyhandler_register('h', show_help, "this list");
		keyhandler_register('q', show_domains, "domains and vCPUs");
		keyhandler_register('r', sched_dump, "run queues");
		keyhandler_register('e', show_events, "event channels");
		keyhandler_register('g', show_grants, "grant tables");
		keyhandler_register('i', irq_dump, "interrupts");
		keyhandler_register('m', show_memory, "memory");
		keyhandler_register('p', counters,
				    "hypercalls and traps by domain");
		keyhandler_register('A', audit, "audit page types");
		keyhandler_register('H', hang, "hang this CPU for good");
		keyhandler_register('R', reboot, "reboot the machine now");
	}
	watchdog_hold();
	if ((u8)key < ARRAY_SIZE(keys) && keys[(u8)key].fn)
		keys[(u8)key].fn();
	else
		printk(LVL_ERR "no debug key '%c'; h for help\n", key);
	watchdog_release();
}
