/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host interrupts: from a vector to whoever wants it.
 *
 * irq numbers below nr_gsis are I/O APIC pins, those above are MSIs. A vector
 * means the same irq on every CPU, so an interrupt can be moved by changing its
 * destination alone; the price is that there are about 190 of them.
 *
 * Delivery to a guest: edge interrupts and MSIs are acknowledged and become an
 * event. A level interrupt is masked at the I/O APIC before it is
 * acknowledged, and unmasked by the guest's EOI; it can then neither storm nor
 * block others when the guest is slow.
 *
 * Locking: irq_lock (any context) guards descriptors and the I/O APICs. It is
 * not held while an event is sent; irq_unbind_guest() waits for in_flight
 * instead, so the domain cannot go away in between.
 */
#include <bh/console.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/machine.h>
#include <bh/smp.h>

#define VEC_FIRST 0x20
#define VEC_LAST  0xdf

struct irq_desc irq_desc[NR_IRQS];
struct spinlock irq_lock = SPINLOCK_INIT(LOCK_IRQ);
static u16 vector_irq[256]; /* irq + 1; 0: none */

static bool vector_usable(unsigned int v)
{
	/* 0x80 is the guests' system call gate. */
	return v >= VEC_FIRST && v <= VEC_LAST && v != 0x80 && !vector_irq[v];
}

/* First of n free vectors, aligned to n; 0: none. */
static unsigned int vectors_find(unsigned int n)
{
	static unsigned int last = VEC_FIRST + 0x10;

	for (unsigned int tries = 0; tries < 256; tries++) {
		unsigned int v, i;

		last++;
		if (last > VEC_LAST)
			last = VEC_FIRST;
		v = ROUNDUP(last, n);
		for (i = 0; i < n && vector_usable(v + i); i++)
			;
		if (i == n) {
			last = v + n - 1;
			return v;
		}
	}
	return 0;
}

int irq_assign_vector(struct irq_desc *d)
{
	unsigned int v;

	if (d->vector)
		return 0;
	v = vectors_find(1);
	if (!v)
		return -ENOSPC;
	d->vector = v;
	vector_irq[v] = d - irq_desc + 1;
	return 0;
}

int irq_alloc_msi(unsigned int n)
{
	unsigned long f = spin_lock_irqsave(&irq_lock);
	unsigned int irq, v, i;
	int rc = -ENOSPC;

	for (irq = nr_gsis; irq + n <= NR_IRQS; irq++) {
		for (i = 0; i < n && !irq_desc[irq + i].in_use; i++)
			;
		if (i == n)
			break;
	}
	v = irq + n <= NR_IRQS ? vectors_find(n) : 0;
	if (v) {
		for (i = 0; i < n; i++) {
			irq_desc[irq + i] = (struct irq_desc){
				.vector = v + i,
				.in_use = true,
				.msi = true,
				.masked = true,
			};
			vector_irq[v + i] = irq + i + 1;
		}
		rc = irq;
	}
	spin_unlock_irqrestore(&irq_lock, f);
	return rc;
}

void irq_free(unsigned int irq)
{
	unsigned long f = spin_lock_irqsave(&irq_lock);
	struct irq_desc *d = &irq_desc[irq];

	if (d->vector)
		vector_irq[d->vector] = 0;
	memset(d, 0, sizeof(*d));
	spin_unlock_irqrestore(&irq_lock, f);
}

static u32 cpu_apic_id(unsigned int cpu)
{
	return cpus[cpu] && cpus[cpu]->online ? cpus[cpu]->apic_id
					      : cpus[0]->apic_id;
}

/* Lock held. */
static void irq_mask(struct irq_desc *d, bool masked)
{
	d->masked = masked;
	if (!d->msi)
		ioapic_mask(d - irq_desc, masked);
	else if (d->msi_desc)
		msi_mask(d->msi_desc, masked);
}

int irq_setup_gsi(unsigned int gsi, bool level, bool active_low)
{
	struct irq_desc *d;
	unsigned long f;
	int rc;

	if (gsi >= nr_gsis || !ioapic_has_gsi(gsi))
		return -EINVAL;
	f = spin_lock_irqsave(&irq_lock);
	d = &irq_desc[gsi];
	if (d->configured) {
		rc = -EEXIST;
	} else {
		rc = irq_assign_vector(d);
		if (!rc) {
			d->in_use = d->configured = d->masked = true;
			d->level = level;
			d->active_low = active_low;
			ioapic_route(gsi, d->vector, cpu_apic_id(d->cpu), level,
				     active_low, true);
		}
	}
	spin_unlock_irqrestore(&irq_lock, f);
	return rc;
}

/* Configures a GSI as the MADT says unless that happened already. */
static int gsi_default(unsigned int gsi)
{
	bool level, low;
	int rc;

	acpi_gsi_mode(gsi, &level, &low);
	rc = irq_setup_gsi(gsi, level, low);
	return rc == -EEXIST ? 0 : rc;
}

int irq_request(unsigned int gsi, void (*fn)(void *), void *arg)
{
	unsigned long f;
	int rc = gsi_default(gsi);

	if (rc)
		return rc;
	f = spin_lock_irqsave(&irq_lock);
	if (irq_desc[gsi].fn || irq_desc[gsi].guest) {
		rc = -EBUSY;
	} else {
		irq_desc[gsi].fn = fn;
		irq_desc[gsi].arg = arg;
		irq_mask(&irq_desc[gsi], false);
	}
	spin_unlock_irqrestore(&irq_lock, f);
	return rc;
}

int irq_bind_guest(unsigned int irq, struct domain *d, u32 pirq,
		   unsigned int cpu)
{
	struct irq_desc *desc = &irq_desc[irq];
	unsigned long f;
	int rc = 0;

	if (irq < nr_gsis) {
		rc = gsi_default(irq);
		if (rc)
			return rc;
	}
	f = spin_lock_irqsave(&irq_lock);
	if (!desc->in_use) {
		rc = -EINVAL;
	} else if (desc->fn || desc->guest) {
		rc = -EBUSY;
	} else {
		desc->guest = d;
		desc->pirq = pirq;
		desc->in_service = false;
		desc->cpu = cpu;
		if (!desc->msi)
			ioapic_set_dest(irq, cpu_apic_id(cpu));
		else if (desc->msi_desc)
			msi_set_dest(desc->msi_desc, cpu_apic_id(cpu));
		irq_mask(desc, false);
	}
	spin_unlock_irqrestore(&irq_lock, f);
	return rc;
}

void irq_unbind_guest(unsigned int irq, const struct domain *d)
{
	struct irq_desc *desc = &irq_desc[irq];
	unsigned long f = spin_lock_irqsave(&irq_lock);

	if (desc->guest == d) {
		irq_mask(desc, true);
		desc->guest = NULL;
		while (desc->in_flight) {
			spin_unlock_irqrestore(&irq_lock, f);
			cpu_relax();
			f = spin_lock_irqsave(&irq_lock);
		}
	}
	spin_unlock_irqrestore(&irq_lock, f);
}

void irq_guest_eoi(unsigned int irq, const struct domain *d)
{
	struct irq_desc *desc = &irq_desc[irq];
	unsigned long f = spin_lock_irqsave(&irq_lock);

	if (desc->guest == d && desc->in_service) {
		desc->in_service = false;
		irq_mask(desc, false);
	}
	spin_unlock_irqrestore(&irq_lock, f);
}

void irq_set_cpu(unsigned int irq, unsigned int cpu)
{
	struct irq_desc *desc = &irq_desc[irq];
	unsigned long f = spin_lock_irqsave(&irq_lock);

	if (desc->in_use && desc->cpu != cpu) {
		desc->cpu = cpu;
		if (!desc->msi)
			ioapic_set_dest(irq, cpu_apic_id(cpu));
		else if (desc->msi_desc)
			msi_set_dest(desc->msi_desc, cpu_apic_id(cpu));
	}
	spin_unlock_irqrestore(&irq_lock, f);
}

static void device_irq(u8 vector)
{
	struct irq_desc *desc;
	struct domain *guest;
	void (*fn)(void *);
	u32 pirq;
	unsigned long f = spin_lock_irqsave(&irq_lock);

	if (!vector_irq[vector]) {
		/* Its irq was freed while the message was on its way. */
		spin_unlock_irqrestore(&irq_lock, f);
		lapic_eoi();
		return;
	}
	desc = &irq_desc[vector_irq[vector] - 1];
	desc->count++;
	guest = desc->guest;
	pirq = desc->pirq;
	fn = desc->fn;
	if (desc->level && !fn) {
		/* Nobody there: it stays masked, or it would come for ever. */
		irq_mask(desc, true);
		desc->in_service = guest != NULL;
	}
	if (guest)
		desc->in_flight++;
	spin_unlock_irqrestore(&irq_lock, f);

	if (fn)
		fn(desc->arg);
	lapic_eoi();
	if (guest) {
		evtchn_send_pirq(guest, pirq);
		f = spin_lock_irqsave(&irq_lock);
		desc->in_flight--;
		spin_unlock_irqrestore(&irq_lock, f);
	}
}

void do_irq(struct cpu_user_regs *regs, u8 vector)
{
	struct cpu *c = this_cpu();

	c->nr_irqs++;
	c->irq_depth++;
	switch (vector) {
	case VEC_TIMER:
		lapic_eoi();
		softirq_raise(SOFTIRQ_TIMER);
		break;
	case VEC_EVENT_CHECK: /* the way out looks for softirqs and events */
		lapic_eoi();
		break;
	case VEC_INVALIDATE:
		lapic_eoi();
		tlb_shootdown_ipi();
		break;
	case VEC_CALL_FUNC:
		lapic_eoi();
		smp_call_ipi();
		break;
	case VEC_ERROR:
		lapic_eoi();
		lapic_error_irq();
		break;
	case VEC_SPURIOUS:
		break;
	default:
		device_irq(vector);
		break;
	}
	c->irq_depth--;
}

void irq_dump(void)
{
	printk("irq  vec cpu type  state          count\n");
	for (unsigned int i = 0; i < NR_IRQS; i++) {
		struct irq_desc *d = &irq_desc[i];

		if (!d->in_use)
			continue;
		printk("%4u  %02x %3u %s%s%s%s %s", i, d->vector, d->cpu,
		       d->msi     ? "MSI  "
		       : d->level ? "level"
				  : "edge ",
		       d->active_low ? "-" : "+", d->masked ? " masked" : "",
		       d->in_service ? " in-service" : "", d->fn ? "own" : "");
		if (d->guest)
			printk("d%u pirq %u", d->guest->id, d->pirq);
		printk(" %u\n", d->count);
	}
}

void irq_init(void)
{
	ioapic_init();
}
