/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O APICs. A pin is a GSI; its redirection entry names one vector and one
 * CPU. Everything is masked until someone asks for it. The 8259s are masked
 * for good. Locking: irq_lock. (Intel 82093AA data sheet.)
 */
#include <bh/acpi.h>
#include <bh/cpuops.h>
#include <bh/machine.h>
#include <bh/mm.h>

#define RTE_MASKED 0x10000
#define RTE_LEVEL  0x8000
#define RTE_NMI    0x400
#define RTE_LOW    0x2000

static struct ioapic {
	volatile u32 *regs;
	paddr_t base;
	unsigned int gsi_base, nr;
} ioapic[16];
static unsigned int nr_ioapics;
unsigned int nr_gsis __read_mostly = 16;
static u32 rte_lo[NR_GSIS_MAX]; /* what we last wrote */

static u32 rd(struct ioapic *a, u32 reg)
{
	a->regs[0] = reg;
	return a->regs[4];
}
static void wr(struct ioapic *a, u32 reg, u32 val)
{
	a->regs[0] = reg;
	a->regs[4] = val;
}

static struct ioapic *find(unsigned int gsi, unsigned int *pin)
{
	for (unsigned int i = 0; i < nr_ioapics; i++) {
		struct ioapic *a = &ioapic[i];

		if (gsi >= a->gsi_base && gsi - a->gsi_base < a->nr) {
			*pin = gsi - a->gsi_base;
			return a;
		}
	}
	return NULL;
}

static void mask_8259(void)
{
	/* Vectors out of the way of exceptions, in case of a spurious one. */
	outb(0x11, 0x20);
	outb(0x11, 0xa0);
	outb(0x20, 0x21);
	outb(0x28, 0xa1);
	outb(0x04, 0x21);
	outb(0x02, 0xa1);
	outb(0x01, 0x21);
	outb(0x01, 0xa1);
	outb(0xff, 0x21);
	outb(0xff, 0xa1);
}

void ioapic_init(void)
{
	mask_8259();
	for (unsigned int i = 0; i < acpi.nr_ioapics; i++) {
		struct ioapic *a = &ioapic[nr_ioapics];

		a->base = acpi.ioapic[i].addr;
		a->regs = ioremap(a->base, PAGE_SIZE, PTE_HV_UC);
		a->gsi_base = acpi.ioapic[i].gsi_base;
		if (!a->regs || a->gsi_base >= NR_GSIS_MAX)
			continue;
		a->nr = (rd(a, 1) >> 16 & 0xff) + 1;
		if (a->gsi_base + a->nr > NR_GSIS_MAX)
			a->nr = NR_GSIS_MAX - a->gsi_base;
		nr_ioapics++;
		if (a->gsi_base + a->nr > nr_gsis)
			nr_gsis = a->gsi_base + a->nr;
		for (unsigned int p = 0; p < a->nr; p++) {
			rte_lo[a->gsi_base + p] = RTE_MASKED;
			wr(a, 0x10 + 2 * p, RTE_MASKED);
			wr(a, 0x11 + 2 * p, 0);
		}
		printk(LVL_INFO "I/O APIC %u at %#lx: GSI %u-%u\n",
		       acpi.ioapic[i].id, a->base, a->gsi_base,
		       a->gsi_base + a->nr - 1);
	}
	if (!nr_ioapics)
		printk(LVL_WARN "no I/O APIC found: only MSIs will work\n");
}

bool ioapic_has_gsi(unsigned int gsi)
{
	unsigned int pin;

	return find(gsi, &pin) != NULL;
}

void ioapic_route(unsigned int gsi, u8 vector, u32 apic_id, bool level,
		  bool active_low, bool masked)
{
	unsigned int pin;
	struct ioapic *a = find(gsi, &pin);
	u32 lo = vector | (level ? RTE_LEVEL : 0) | (active_low ? RTE_LOW : 0);

	if (!a)
		return;
	/* Never half an entry that is live. */
	wr(a, 0x10 + 2 * pin, lo | RTE_MASKED);
	wr(a, 0x11 + 2 * pin, apic_id << 24);
	rte_lo[gsi] = lo | (masked ? RTE_MASKED : 0);
	if (!masked)
		wr(a, 0x10 + 2 * pin, lo);
}

/* Edge triggered; there is no vector. */
void ioapic_route_nmi(unsigned int gsi, u32 apic_id)
{
	unsigned int pin;
	struct ioapic *a = find(gsi, &pin);

	if (!a)
		return;
	wr(a, 0x10 + 2 * pin, RTE_NMI | RTE_MASKED);
	wr(a, 0x11 + 2 * pin, apic_id << 24);
	rte_lo[gsi] = RTE_NMI;
	wr(a, 0x10 + 2 * pin, RTE_NMI);
}

void ioapic_mask(unsigned int gsi, bool masked)
{
	unsigned int pin;
	struct ioapic *a = find(gsi, &pin);

	if (!a)
		return;
	if (masked)
		rte_lo[gsi] |= RTE_MASKED;
	else
		rte_lo[gsi] &= ~RTE_MASKED;
	wr(a, 0x10 + 2 * pin, rte_lo[gsi]);
	if (masked) /* wait until the write has reached the chip */
		(void)rd(a, 0x10 + 2 * pin);
}

void ioapic_set_dest(unsigned int gsi, u32 apic_id)
{
	unsigned int pin;
	struct ioapic *a = find(gsi, &pin);

	if (a)
		wr(a, 0x11 + 2 * pin, apic_id << 24);
}

u32 ioapic_read_phys(paddr_t base, u8 reg)
{
	unsigned long f = spin_lock_irqsave(&irq_lock);
	u32 v = ~0U;

	for (unsigned int i = 0; i < nr_ioapics; i++)
		if (ioapic[i].base == base)
			v = rd(&ioapic[i], reg);
	spin_unlock_irqrestore(&irq_lock, f);
	return v;
}

bool ioapic_owns_page(unsigned long mfn)
{
	for (unsigned int i = 0; i < nr_ioapics; i++)
		if (ioapic[i].base >> PAGE_SHIFT == mfn)
			return true;
	return false;
}

unsigned int acpi_isa_gsi(unsigned int irq)
{
	for (unsigned int i = 0; i < acpi.nr_ovr; i++)
		if (acpi.ovr[i].irq == irq)
			return acpi.ovr[i].gsi;
	return irq;
}

void acpi_gsi_mode(unsigned int gsi, bool *level, bool *active_low)
{
	*level = gsi >= 16;
	*active_low = gsi >= 16;
	for (unsigned int i = 0; i < acpi.nr_ovr; i++) {
		if (acpi.ovr[i].gsi != gsi)
			continue;
		*level = acpi.ovr[i].level;
		*active_low = acpi.ovr[i].active_low;
	}
}
