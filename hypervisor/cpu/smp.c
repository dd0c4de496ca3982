/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting the other processors, and calling functions on them.
 *
 * A processor comes up through a page below 1 MiB (boot/start.S). The page is
 * borrowed: its contents are put back, so it may be anybody's. Processors are
 * started one after the other, each waits in smp_ap_main() until it is told to
 * schedule. (Intel SDM vol. 3, 8.4.)
 */
#include <bh/acpi.h>
#include <bh/boot.h>
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/desc.h>
#include <bh/domain.h>
#include <bh/machine.h>
#include <bh/sections.h>
#include <bh/smp.h>
#include <bh/timer.h>

extern char ap_tramp_start[], ap_tramp_end[];
struct tramp_args {
	u64 cr3, rsp, entry;
};
extern struct tramp_args ap_tramp_args;
extern u64 boot_l4[512];

struct cpu *cpus[NR_CPUS] __read_mostly;
unsigned int nr_cpu_ids __read_mostly = 1;
cpumask_t cpu_online_map __read_mostly;

static bool opt_smt = true;
PARAM_BOOL("smt", opt_smt);

/* ---- calls ------------------------------------------------------------------- */

static struct {
	struct spinlock lock;
	void (*fn)(void *);
	void *arg;
	unsigned int left; /* CPUs that have not finished */
	cpumask_t todo;
} call = { .lock = SPINLOCK_INIT(LOCK_NONE) };

void smp_call_ipi(void)
{
	unsigned int self = smp_processor_id();

	if (!test_and_clear_bit(self, call.todo.bits))
		return;
	call.fn(call.arg);
	__atomic_fetch_sub(&call.left, 1, __ATOMIC_RELEASE);
}

void smp_call(const cpumask_t *mask, void (*fn)(void *), void *arg)
{
	unsigned int c, n = 0, self = smp_processor_id();
	cpumask_t todo;

	cpumask_and(&todo, mask, &cpu_online_map);
	__clear_bit(self, todo.bits);
	for_each_cpu(c, &todo)
		n++;
	if (!n)
		return;
	/* Interrupts stay on while waiting for the lock and the answers, so two
	 * callers cannot wait for each other. */
	spin_lock(&call.lock);
	call.fn = fn;
	call.arg = arg;
	call.left = n;
	smp_wmb();
	call.todo = todo;
	smp_send_ipi_mask(&todo, VEC_CALL_FUNC);
	while (__atomic_load_n(&call.left, __ATOMIC_ACQUIRE))
		cpu_relax();
	spin_unlock(&call.lock);
}

/* ---- start ------------------------------------------------------------------- */

static volatile unsigned int ap_state; /* 0 not there, 1 alive, 2 online */

/* First C of a new processor: on the boot page tables, on its own stack. */
static void __noreturn ap_main(void)
{
	struct cpu *c;

	write_cr3(virt_to_maddr(hv_l4));
	c = this_cpu();
	desc_load_cpu();
	cpu_init_local();
	lapic_init_cpu();
	fpu_init_cpu();
	ap_state = 1;
	time_init_cpu();
	timer_subsys_init_cpu(c->id);
	sched_init_cpu(c->id);
	tlb_flush_local();
	c->online = true;
	cpumask_set(c->id, &cpu_online_map);
	ap_state = 2;
	irq_enable();
	idle_loop();
}

static struct cpu *cpu_alloc(unsigned int id, const struct acpi_cpu *a)
{
	struct page_info *stack = heap_alloc(STACK_ORDER, 0, 0);
	struct cpu *c = xzalloc(sizeof(*c));

	if (!stack || !c)
		goto fail;
	c->id = id;
	c->apic_id = a->apic_id;
	c->acpi_id = a->acpi_id;
	c->info =
		(struct cpu_info *)((char *)page_to_virt(stack) + STACK_SIZE) -
		1;
	c->info->cpu = c;
	if (desc_prepare_cpu(c))
		goto fail;
	cpus[id] = c;
	if (id >= nr_cpu_ids)
		nr_cpu_ids = id + 1;
	c->idle = idle_vcpu_create(id);
	if (!c->idle)
		goto fail_published;
	c->info->cur = c->idle;
	return c;

fail_published:
	cpus[id] = NULL;
fail:
	if (stack)
		heap_free(stack, STACK_ORDER, false);
	xfree(c);
	return NULL;
}

static bool wait_state(unsigned int want, unsigned int ms)
{
	for (unsigned int i = 0; i < ms * 10; i++) {
		if (ap_state >= want)
			return true;
		udelay(100);
	}
	return ap_state >= want;
}

static bool start_cpu(struct cpu *c, paddr_t page)
{
	struct tramp_args *args =
		maddr_to_virt(page + ((char *)&ap_tramp_args - ap_tramp_start));

	ap_state = 0;
	args->cr3 = virt_to_maddr(boot_l4);
	args->rsp = (unsigned long)c->info & ~15UL;
	args->entry = (unsigned long)ap_main;
	mb();
	lapic_send_init(c->apic_id);
	udelay(10000);
	/* Some processors want the second SIPI, all tolerate it. */
	for (unsigned int i = 0; i < 2; i++) {
		lapic_send_sipi(c->apic_id, page >> PAGE_SHIFT);
		if (wait_state(1, i ? 1000 : 2))
			return wait_state(2, 5000);
	}
	return false;
}

/* A page of RAM below 640 KiB, clear of the BIOS data at its two ends. */
static paddr_t find_low_page(void)
{
	for (paddr_t p = 0x8000; p < 0x90000; p += PAGE_SIZE)
		for (unsigned int i = 0; i < boot_info.nr_e820; i++) {
			const struct e820_entry *e = &boot_info.e820[i];

			if (e->type == E820_RAM && e->addr <= p &&
			    e->addr + e->size >= p + PAGE_SIZE)
				return p;
		}
	return 0;
}

void smp_boot_aps(unsigned int max_cpus)
{
	size_t len = ap_tramp_end - ap_tramp_start;
	paddr_t page = find_low_page();
	void *low = maddr_to_virt(page), *saved;
	unsigned int n = 1;

	if (acpi.nr_cpus <= 1 || max_cpus <= 1)
		return;
	saved = alloc_page();
	if (!page || !saved) {
		printk(LVL_ERR "no page below 1 MiB: staying on one CPU\n");
		free_page(saved);
		return;
	}
	memcpy(saved, low, PAGE_SIZE);
	for (unsigned int i = 0; i < acpi.nr_cpus && n < max_cpus; i++) {
		const struct acpi_cpu *a = &acpi.cpu[i];
		struct cpu *c;

		if (!a->enabled || a->apic_id == cpus[0]->apic_id)
			continue;
		if (n >= NR_CPUS || (!lapic_x2apic && a->apic_id > 254))
			continue;
		if (!opt_smt && (a->apic_id & 1) && (cpuid(1, 0).d >> 28 & 1) &&
		    cpu_has.max_leaf >= 0xb && (cpuid(0xb, 0).b & 0xffff) > 1)
			continue;
		c = cpu_alloc(n, a);
		if (!c) {
			printk(LVL_ERR "no memory for CPU%u\n", n);
			break;
		}
		memcpy(low, ap_tramp_start, len);
		if (!start_cpu(c, page)) {
			printk(LVL_ERR "CPU%u (APIC %u) does not start\n", n,
			       a->apic_id);
			/* Its stack stays: it may wake up late. */
			cpus[n] = NULL;
			continue;
		}
		n++;
	}
	memcpy(low, saved, PAGE_SIZE);
	free_page(saved);
	printk(LVL_INFO "%u processors online\n", n);
}
