/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of cpu/ and boot/: APICs, interrupt descriptors, set-up. */
#pragma once

#include <bh/irq.h>
#include <bh/percpu.h>

/* ---- cpu/identify.c --------------------------------------------------------- */
void cpu_identify(void);   /* boot CPU: fills cpu_has */
void cpu_init_local(void); /* control registers and MSRs of this CPU */

/* ---- cpu/apic.c --------------------------------------------------------------- */
void lapic_init(void);       /* finds and maps it (boot CPU) */
void lapic_init_cpu(void);   /* enables this CPU's */
void lapic_timer_init(void); /* lapic_timer_hz is known */
u32 lapic_id(void);
void lapic_send_init(u32 apic_id);
void lapic_send_sipi(u32 apic_id, u8 page);
void lapic_wait_idle(void);
void lapic_send_nmi(u32 apic_id); /* from an NMI only */
u32 lapic_timer_count(void);
void lapic_timer_start_raw(u32 count); /* calibration */
void lapic_error_irq(void);
extern u64 lapic_timer_hz;
extern bool lapic_x2apic;

/* ---- cpu/ioapic.c ------------------------------------------------------------- */
void ioapic_init(void);
extern unsigned int nr_gsis; /* first number behind all I/O APIC pins */
bool ioapic_has_gsi(unsigned int gsi);
/* All with LOCK_IRQ held. */
void ioapic_route(unsigned int gsi, u8 vector, u32 apic_id, bool level,
		  bool active_low, bool masked);
void ioapic_route_nmi(unsigned int gsi, u32 apic_id);
void ioapic_mask(unsigned int gsi, bool masked);
void ioapic_set_dest(unsigned int gsi, u32 apic_id);
u32 ioapic_read_phys(paddr_t base, u8 reg); /* PHYSDEVOP_apic_read; ~0 bad */
bool ioapic_owns_page(unsigned long mfn);
/* Routing facts from the MADT for an ISA irq or a GSI. */
unsigned int acpi_isa_gsi(unsigned int irq);
void acpi_gsi_mode(unsigned int gsi, bool *level, bool *active_low);

/* ---- cpu/irq.c -------------------------------------------------------------- */
struct irq_desc {
	u8 vector; /* 0: none yet */
	bool in_use;
	bool msi; /* else an I/O APIC pin: irq == gsi */
	bool level, active_low;
	bool configured; /* setup_gsi done */
	bool masked;
	bool in_service; /* level: masked until the guest's EOI */
	u16 in_flight;   /* handlers running now, see irq_unbind_guest() */
	u16 cpu;
	u32 count;
	void (*fn)(void *); /* hypervisor's own handler */
	void *arg;
	struct domain *guest; /* bound to */
	u32 pirq;             /* its number there */
	struct msi_desc *msi_desc;
};
extern struct irq_desc irq_desc[NR_IRQS];
extern struct spinlock irq_lock;
void irq_init(void);
/* Lock held. Gives desc a vector; 0 or -ENOSPC. */
int irq_assign_vector(struct irq_desc *d);
/* n (power of two) consecutive free irqs >= nr_gsis with consecutive, aligned
 * vectors, as multi-vector MSI needs. First irq, or -ENOSPC. */
int irq_alloc_msi(unsigned int n);
void irq_free(unsigned int irq);
/* setup_gsi: -EEXIST when it was configured before, else 0 or -E. */
int irq_setup_gsi(unsigned int gsi, bool level, bool active_low);
int irq_bind_guest(unsigned int irq, struct domain *d, u32 pirq,
		   unsigned int cpu);
void irq_unbind_guest(unsigned int irq, const struct domain *d);
void irq_guest_eoi(unsigned int irq, const struct domain *d);
void irq_set_cpu(unsigned int irq, unsigned int cpu);

/* ---- control/msi.c ---------------------------------------------------------- */
void msi_mask(struct msi_desc *m, bool masked);     /* irq_lock held */
void msi_set_dest(struct msi_desc *m, u32 apic_id); /* irq_lock held */

/* ---- cpu/smp.c, cpu/platform_timer.c ---------------  */
void smp_call_ipi(void);
void platform_timer_init(void);
/* TSC and LAPIC timer rates measured against the platform timer. */
void clocks_calibrate(u64 *tsc_hz, u64 *lapic_hz);
void udelay(unsigned int us); /* by the platform timer */

void power_init(void); /* cpu/power.c */

/* ---- cpu/cmos.c --------------------------------------------------------------- */
u8 cmos_read(u8 index);
void cmos_write(u8 index, u8 val);
