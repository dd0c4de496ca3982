/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host interrupts: vectors, I/O APIC pins (GSIs) and MSIs, and their delivery
 * to the guest that bound them (dom0's "pirqs": pirq == GSI for GSIs).
 */
#pragma once

#include <bh/lib.h>
#include <bh/spinlock.h>

struct cpu_user_regs;
struct domain;
struct vcpu;

#define NR_GSIS_MAX 1024
#define NR_IRQS     2048 /* GSIs, then MSIs */

/* Fixed vectors, high priority first. 0x20..0xdf are allocated to irqs. */
#define VEC_SPURIOUS    0xff
#define VEC_ERROR       0xfe
#define VEC_TIMER       0xfa /* LAPIC timer */
#define VEC_EVENT_CHECK 0xfb /* IPI: softirq pending / reschedule */
#define VEC_INVALIDATE  0xfc /* IPI: TLB shootdown */
#define VEC_CALL_FUNC   0xfd /* IPI: smp_call */

/* Called with interrupts off on VEC_* and irq vectors. */
void do_irq(struct cpu_user_regs *regs, u8 vector);
/* Hypervisor's own handler (serial). Level/polarity as ACPI says for the GSI. */
int irq_request(unsigned int gsi, void (*fn)(void *), void *arg);

/* Per-domain pirq table (control/physdev.c). */
int pirq_domain_init(struct domain *d);
void pirq_domain_done(struct domain *d); /* unbinds and unmaps all */
/* Binds a mapped pirq to event delivery on vcpu v; unmasks it. -EINVAL,
 * -EBUSY (bound without sharing). will_share: BIND_PIRQ__WILL_SHARE. */
int pirq_guest_bind(struct vcpu *v, u32 pirq, bool will_share);
void pirq_guest_unbind(struct domain *d, u32 pirq);
void pirq_guest_eoi(struct domain *d, u32 pirq);
void pirq_set_affinity(struct domain *d, u32 pirq, unsigned int cpu);
void irq_dump(void);
