/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration space. Through ports 0xcf8/0xcfc where they reach, else
 * through the memory window of the MCFG table, mapped bus by bus when first
 * used. dom0's own accesses come here as well (control/ioport.c), so the two
 * never mix up the address latch.
 */
#include <bh/acpi.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/mm.h>

static struct spinlock pci_lock = SPINLOCK_INIT(LOCK_NONE);
static volatile u8 *ecam_bus[256]; /* segment 0 */

/* Mapped window of a bus; NULL: there is none. Not from interrupts. */
static volatile u8 *ecam(u16 seg, u8 bus)
{
	volatile u8 *va;

	if (seg)
		return NULL;
	va = READ_ONCE(ecam_bus[bus]);
	if (va)
		return va;
	for (unsigned int i = 0; i < acpi.nr_mcfg; i++) {
		if (acpi.mcfg[i].seg != seg || bus < acpi.mcfg[i].bus_first ||
		    bus > acpi.mcfg[i].bus_last)
			continue;
		va = ioremap(acpi.mcfg[i].base + ((paddr_t)bus << 20), 1 << 20,
			     PTE_HV_UC);
		if (va)
			WRITE_ONCE(ecam_bus[bus], va);
		return va;
	}
	return NULL;
}

static u32 latch(u8 bus, u8 devfn, u16 reg)
{
	return 0x80000000 | bus << 16 | devfn << 8 | (reg & 0xfc);
}

u32 pci_conf_read(u16 seg, u8 bus, u8 devfn, u16 reg, unsigned int len)
{
	unsigned long f;
	u32 v;

	if (seg || reg >= 256) {
		volatile u8 *p = ecam(seg, bus);

		if (!p || reg >= 4096)
			return ~0U >> (32 - 8 * len);
		p += devfn << 12 | reg;
		return len == 1   ? *p
		       : len == 2 ? *(volatile u16 *)p
				  : *(volatile u32 *)p;
	}
	f = spin_lock_irqsave(&pci_lock);
	outl(latch(bus, devfn, reg), 0xcf8);
	v = len == 1   ? inb(0xcfc + (reg & 3))
	    : len == 2 ? inw(0xcfc + (reg & 2))
		       : inl(0xcfc);
	spin_unlock_irqrestore(&pci_lock, f);
	return v;
}

void pci_conf_write(u16 seg, u8 bus, u8 devfn, u16 reg, unsigned int len,
		    u32 val)
{
	unsigned long f;

	if (seg || reg >= 256) {
		volatile u8 *p = ecam(seg, bus);

		if (!p || reg >= 4096)
			return;
		p += devfn << 12 | reg;
		if (len == 1)
			*p = val;
		else if (len == 2)
			*(volatile u16 *)p = val;
		else
			*(volatile u32 *)p = val;
		return;
	}
	f = spin_lock_irqsave(&pci_lock);
	outl(latch(bus, devfn, reg), 0xcf8);
	if (len == 1)
		outb(val, 0xcfc + (reg & 3));
	else if (len == 2)
		outw(val, 0xcfc + (reg & 2));
	else
		outl(val, 0xcfc);
	spin_unlock_irqrestore(&pci_lock, f);
}
