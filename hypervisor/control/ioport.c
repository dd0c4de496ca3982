/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O ports of PV guests. What a domain owns (ioport_caps) goes straight to
 * the hardware. dom0 owns nearly everything; the few ports the hypervisor
 * shares with it are handled one by one:
 *
 *   0xcf8/0xcfc  PCI configuration: a latch of its own, so that our accesses
 *                and dom0's do not mix
 *   0x70/0x71    CMOS: an index of its own
 *   0x40-0x43    PIT: channel 2 (speaker, calibration) passes, 0 and 1 do not
 *   8259, UART   read as nothing there; writes are dropped
 */
#include <bh/acpi.h>
#include <bh/console.h>
#include <bh/control.h>
#include <bh/cpuops.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/machine.h>
#include <bh/smp.h>

static u32 pci_latch;  /* dom0's 0xcf8 */
static u8 cmos_index;  /* dom0's 0x70 */
static u8 pit_latched; /* last command dom0 gave was for channel 2 */

static u32 all_ones(unsigned int len)
{
	return len == 4 ? ~0U : (1U << 8 * len) - 1;
}

static u32 hw_in(u16 port, unsigned int len)
{
	return len == 1 ? inb(port) : len == 2 ? inw(port) : inl(port);
}

static void hw_out(u16 port, unsigned int len, u32 val)
{
	if (len == 1)
		outb(val, port);
	else if (len == 2)
		outw(val, port);
	else
		outl(val, port);
}

static u32 conf_read(u16 port, unsigned int len)
{
	if (!(pci_latch & 0x80000000) || (port & 3) + len > 4)
		return all_ones(len);
	return pci_conf_read(0, pci_latch >> 16, pci_latch >> 8,
			     (pci_latch & 0xfc) | (port & 3), len);
}

static void conf_write(u16 port, unsigned int len, u32 val)
{
	u16 reg = (pci_latch & 0xfc) | (port & 3);

	if (!(pci_latch & 0x80000000) || (port & 3) + len > 4)
		return;
	if (pci_conf_write_filter(0, pci_latch >> 16, pci_latch >> 8, reg, len,
				  &val))
		pci_conf_write(0, pci_latch >> 16, pci_latch >> 8, reg, len,
			       val);
}

static u32 dom0_special_read(u16 port, unsigned int len)
{
	if (port == 0xcf8 && len == 4)
		return pci_latch;
	if (port >= 0xcf8 && port < 0xcfc)
		return hw_in(port, len);
	if (port >= 0xcfc && port <= 0xcff)
		return conf_read(port, len);
	if (len != 1)
		return all_ones(len);
	if (port == 0x70)
		return cmos_index;
	if (port == 0x71)
		return cmos_read(cmos_index);
	if (port == 0x42 || (port == 0x43 && pit_latched))
		return inb(port);
	return all_ones(len);
}

static void dom0_special_write(u16 port, unsigned int len, u32 val)
{
	if (port == 0xcf8 && len == 4) {
		pci_latch = val;
		return;
	}
	if (port >= 0xcf8 && port < 0xcfc) {
		hw_out(port, len, val); /* 0xcf9: reset control */
		return;
	}
	if (port >= 0xcfc && port <= 0xcff) {
		conf_write(port, len, val);
		return;
	}
	if (len != 1)
		return;
	if (port == 0x70)
		cmos_index = val;
	else if (port == 0x71)
		cmos_write(cmos_index, val);
	else if (port == 0x42)
		outb(val, port);
	else if (port == 0x43) {
		/* Commands for channel 2, and read-back of channel 2 alone. */
		pit_latched = (val & 0xc0) == 0x80 || (val & 0xce) == 0xc8;
		if (pit_latched)
			outb(val, port);
	}
}

u32 guest_io_read(struct domain *d, u16 port, unsigned int len)
{
	if (d->ioport_caps &&
	    rangeset_contains(d->ioport_caps, port, port + len - 1))
		return hw_in(port, len);
	if (d == hardware_domain)
		return dom0_special_read(port, len);
	/*
	 * A kernel that wants to calibrate its TSC waits until the high byte of
	 * PIT channel 2 leaves 0xff, for 100,000 reads; 0 says that nothing
	 * counts here.
	 */
	return port == 0x42 ? 0 : all_ones(len);
}

void guest_io_write(struct domain *d, u16 port, unsigned int len, u32 val)
{
	if (d->ioport_caps &&
	    rangeset_contains(d->ioport_caps, port, port + len - 1))
		hw_out(port, len, val);
	else if (d == hardware_domain)
		dom0_special_write(port, len, val);
}

/* ---- dom0's permissions ------------------------------------------------------------ */

static int deny_ports(struct domain *d, u16 first, u16 last)
{
	return rangeset_remove(d->ioport_caps, first, last);
}

static int setup_ports(struct domain *d)
{
	static const struct {
		u16 first, last;
	} shared[] = {
		{ 0x20, 0x21 }, { 0xa0, 0xa1 },   { 0x40, 0x43 },
		{ 0x70, 0x71 }, { 0xcf8, 0xcff },
	};
	int rc = rangeset_add(d->ioport_caps, 0, 0xffff);

	for (unsigned int i = 0; i < ARRAY_SIZE(shared) && !rc; i++)
		rc = deny_ports(d, shared[i].first, shared[i].last);
	for (unsigned int p = 0; p <= 0xffff && !rc; p++)
		if (console_owns_port(p))
			rc = deny_ports(d, p, p);
	return rc;
}

static int deny_frame(struct domain *d, paddr_t pa)
{
	return pa ? rangeset_remove(d->iomem_caps, PFN_DOWN(pa), PFN_DOWN(pa))
		  : 0;
}

/* All that is not RAM of ours, without the interrupt hardware. The HPET stays
 * allowed: Linux' driver maps it and does not survive a refusal. RAM frames
 * are decided by their owner, not by this set. */
static int setup_mmio(struct domain *d)
{
	int rc = rangeset_add(d->iomem_caps, 0,
			      (1UL << (cpu_has.paddr_bits - PAGE_SHIFT)) - 1);

	if (!rc)
		rc = deny_frame(d, acpi.lapic_addr);
	for (unsigned int i = 0; i < acpi.nr_ioapics && !rc; i++)
		rc = deny_frame(d, acpi.ioapic[i].addr);
	/* Writes here are interrupt messages. */
	if (!rc)
		rc = rangeset_remove(d->iomem_caps, 0xfee00, 0xfeeff);
	return rc;
}

int dom0_setup_permissions(struct domain *d)
{
	int rc;

	if (!d->ioport_caps)
		d->ioport_caps = rangeset_new();
	if (!d->iomem_caps)
		d->iomem_caps = rangeset_new();
	if (!d->ioport_caps || !d->iomem_caps)
		return -ENOMEM;
	rc = setup_ports(d);
	return rc ? rc : setup_mmio(d);
}
