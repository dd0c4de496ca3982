/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Per-CPU state. Every CPU has one stack block of STACK_SIZE, aligned to its
 * size; struct cpu_info lies at its very top, so it is found from the stack
 * pointer alone and GS stays the guest's. The interrupt stacks (NMI, #DF, #MC)
 * are the lowest pages of the same block and find the same cpu_info.
 *
 * The hypervisor has no threads: a guest's trap runs on this one stack until it
 * returns to a guest or to the idle loop. schedule() that changes vCPU does not
 * return to its caller.
 */
#pragma once

#include <bh/config.h>
#include <bh/lib.h>
#include <bh/list.h>
#include <bh/spinlock.h>
#include <public/xen.h>

struct vcpu;
struct domain;
struct watchdog;

/* Softirqs: work done with interrupts on, before returning to a guest and in
 * the idle loop. Lower number first. */
enum softirq {
	SOFTIRQ_TIMER,
	SOFTIRQ_SCHED, /* must be the one that may not return: handled last */
	SOFTIRQ_TASKLET,
	SOFTIRQ_TIME_CALIBRATE,
	SOFTIRQ_NR
};

struct cpu {
	unsigned int id; /* dense, 0 = boot CPU */
	u32 apic_id;     /* hardware id */
	u32 acpi_id;
	bool online;
	struct vcpu *idle;             /* this CPU's idle vCPU */
	struct cpu_info *info;         /* top of its stack */
	unsigned long softirq_pending; /* bits of enum softirq, atomic */
	unsigned int irq_depth;        /* >0 inside an interrupt handler */
	void *gdt, *tss;               /* own GDT page and TSS (cpu/desc.c) */
	u64 tlb_clock;     /* mm/tlb.c: this CPU's last full flush */
	unsigned long cr4; /* shadow of CR4 */
	u64 xcr0;          /* shadow of XCR0 */
	u32 lock_rank_top; /* debug: highest rank held */
	unsigned int nr_locks_held;
	void *sched;               /* sched/: run queue */
	void *timers;              /* sched/timer.c */
	struct watchdog *watchdog; /* cpu/watchdog.c; NULL: not watched */
	struct {
		u64 tsc_stamp;
		s_time_t stime_stamp;
		u32 mul;
		s8 shift;
		u32 steered; /* times it was changed */
	} time;              /* sched/time.c: scale of this CPU */
	u64 nr_hypercalls, nr_faults, nr_irqs; /* counters for debug keys */
};

/* At the top of each stack. guest_regs is filled by the entry code whenever the
 * CPU comes from ring 3; offsets are used by assembly (cpu/asm-offsets.c). */
struct cpu_info {
	struct cpu_user_regs guest_regs;
	struct vcpu *cur; /* `current` */
	struct cpu *cpu;
	unsigned long scratch[2];
};
/* The processor aligns RSP to 16 before it pushes a frame: the end of the
 * hardware frame (TSS.rsp0) must be aligned already. */
_Static_assert((sizeof(struct cpu_info) -
		offsetof(struct cpu_info, guest_regs.es)) %
			       16 ==
		       0,
	       "rsp0 alignment");

static inline struct cpu_info *cpu_info(void)
{
	unsigned long sp;

	__asm__("mov %%rsp, %0" : "=r"(sp));
	return (struct cpu_info *)((sp | (STACK_SIZE - 1)) + 1) - 1;
}
static inline struct cpu *this_cpu(void)
{
	return cpu_info()->cpu;
}
#define smp_processor_id() (this_cpu()->id)
#define current            (cpu_info()->cur)
#define guest_regs()       (&cpu_info()->guest_regs)

extern struct cpu *cpus[NR_CPUS]; /* NULL where there is none */
extern unsigned int nr_cpu_ids;   /* highest id + 1 */
extern cpumask_t cpu_online_map;
#define for_each_online_cpu(c) for_each_cpu(c, &cpu_online_map)

typedef void softirq_fn(void);
void softirq_open(enum softirq nr, softirq_fn *fn);
/* Marks pending here or on another CPU (which is kicked by an IPI). */
void softirq_raise(enum softirq nr);
void softirq_raise_on(unsigned int cpu, enum softirq nr);
/* Runs everything pending, interrupts on. SCHED last; may not return. */
void softirq_run(void);
static inline bool softirq_pending(void)
{
	return READ_ONCE(this_cpu()->softirq_pending) != 0;
}

/* Deferred function, run by SOFTIRQ_TASKLET on the CPU that scheduled it. */
struct tasklet {
	struct list link;
	void (*fn)(void *);
	void *arg;
	bool queued;
};
void tasklet_init(struct tasklet *t, void (*fn)(void *), void *arg);
void tasklet_schedule(struct tasklet *t);
