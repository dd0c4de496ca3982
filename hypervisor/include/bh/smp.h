/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processors, IPIs, APIC timer, and the machine's power. Owned by cpu/. */
#pragma once

#include <bh/percpu.h>

void smp_boot_aps(unsigned int max_cpus);
/* IPI to one CPU / to a mask (self excluded). */
void smp_send_ipi(unsigned int cpu, u8 vector);
void smp_send_ipi_mask(const cpumask_t *mask, u8 vector);
/* Runs fn(arg) on every CPU of mask but not this one, with interrupts off
 * there; waits for completion. Caller has interrupts on. */
void smp_call(const cpumask_t *mask, void (*fn)(void *), void *arg);
/*
 * Returns when every stretch of code that ran with interrupts off on any CPU
 * when this was called has ended. What such code may find by itself, without a
 * lock, is unpublished first and freed after this. Interrupts on, no lock.
 */
void smp_quiesce(void);
/* Programs this CPU's one-shot timer interrupt for system time t (<= NOW:
 * as soon as possible; STIME_MAX: off). */
void lapic_timer_set(s_time_t t);
void lapic_eoi(void);

/* Counter of the platform timer (HPET, else ACPI PM timer, else PIT); rate in
 * platform_timer_hz, wraps at platform_timer_mask. */
u64 platform_timer_read(void);
extern u64 platform_timer_hz, platform_timer_mask;
u64 cmos_read_time(void); /* seconds since 1970 */

void machine_restart(void) __noreturn;
void machine_power_off(void) __noreturn;
void machine_halt(void) __noreturn;
/* Dom0 asked through ACPI: writes PM1 control. -EINVAL for unknown states. */
int acpi_enter_sleep(u8 state, u32 pm1a, u32 pm1b);

/* Feature bits of the boot CPU, filled by cpu_identify(). */
struct cpu_features {
	u32 max_leaf, max_ext;
	u32 family, model;
	bool amd, intel;
	bool xsave, fsgsbase, smep, smap, umip, nx, pcid, rdtscp, page1g,
		tsc_invariant, x2apic, pge, fxsr_opt, svm;
	u64 xcr0_max;   /* XSAVE components the host supports and we allow */
	u32 xsave_size; /* bytes for xcr0_max, standard format */
	u32 paddr_bits;
};
extern struct cpu_features cpu_has;
