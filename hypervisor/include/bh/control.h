/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What control/ asks of other parts beyond their own headers. */
#pragma once

#include <bh/types.h>

struct domain;
struct vcpu;

/* Version strings (control/version.c). */
#define BH_XEN_MAJOR 4
#define BH_XEN_MINOR 17
extern const char bulkhead_version[];

/* MSI: programs the device and returns the irq (>= number of GSIs) in *irq.
 * entry_nr/table_base as in physdev_map_pirq; table_base 0: MSI. */
int msi_enable(u16 seg, u8 bus, u8 devfn, u32 entry_nr, u64 table_base,
	       u32 nr_vecs, u32 *irq);
void msi_disable(u32 irq);
int msi_restore(u16 seg, u8 bus, u8 devfn); /* after a reset or S3 */
/* PCI configuration space access (MCFG or ports), any length 1, 2, 4. */
u32 pci_conf_read(u16 seg, u8 bus, u8 devfn, u16 reg, unsigned int len);
void pci_conf_write(u16 seg, u8 bus, u8 devfn, u16 reg, unsigned int len,
		    u32 val);
/* May dom0 do this config write directly? Filters MSI/MSI-X capability bits the
 * hypervisor owns: adjusts *val, false = drop. */
bool pci_conf_write_filter(u16 seg, u8 bus, u8 devfn, u16 reg, unsigned int len,
			   u32 *val);
/* Port I/O of a PV guest, after IOPL checks (control/ioport.c): dom0's
 * permitted ports go to hardware or to the virtual CMOS index, PCI address
 * latch and PIT channel 2. len 1, 2, 4. */
u32 guest_io_read(struct domain *d, u16 port, unsigned int len);
void guest_io_write(struct domain *d, u16 port, unsigned int len, u32 val);
/* Gives dom0 its I/O ports and MMIO ranges. */
int dom0_setup_permissions(struct domain *d);

struct log_dirty;
/* Called for every guest page that is written (log-dirty on). */
void log_dirty_mark(struct domain *d, mfn_t mfn);
void log_dirty_fault_seen(struct domain *d, mfn_t mfn);
/* Ends it; d is paused or dying. */
void log_dirty_disable(struct domain *d);
struct xen_domctl_shadow_op;
/* XEN_DOMCTL_shadow_op: log-dirty mode of a PV domain; fills stats and pages.
 * Not on the caller's domain; the callee pauses it where it must. */
long log_dirty_op(struct domain *d, struct xen_domctl_shadow_op *op);
/* Writes the hypercall page of a PV guest into a page. */
void pv_fill_hypercall_page(void *page);
