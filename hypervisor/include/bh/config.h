/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fixed sizes and the map of the hypervisor's part of every address space.
 *
 * The PV ABI reserves top-level slots 256..271 for the hypervisor. Only the
 * place of the machine-to-phys table (slot 256) is ABI; the rest is ours:
 *
 *   slot 256      M2P_RO     machine-to-phys, read-only, user-readable
 *   slot 258      PERDOMAIN  per-domain window: each vCPU's GDT and LDT
 *   slot 259      M2P_RW     the same table, writable for us
 *   slot 260      VMAP       ioremap(), per-CPU syscall stubs
 *   slot 261      FRAMETABLE one struct page_info per frame; upper part: image
 *   slots 262-271 DIRECTMAP  all of RAM, 5 TiB at most
 *
 * This file is also included by assembly.
 */
#pragma once

#ifdef __ASSEMBLER__
#define _UL(x) x
#else
#define _UL(x) x##UL
#endif

#define PAGE_SHIFT  12
#define PAGE_SIZE   (_UL(1) << PAGE_SHIFT)
#define PAGE_MASK   (~(PAGE_SIZE - 1))
#define PADDR_BITS  52
#define PADDR_MASK  ((_UL(1) << PADDR_BITS) - 1)
#define PFN_UP(x)   (((x) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define PFN_DOWN(x) ((x) >> PAGE_SHIFT)

#define NR_CPUS     256
#define MAX_VCPUS   128 /* per domain */
#define STACK_ORDER 3
#define STACK_SIZE  (PAGE_SIZE << STACK_ORDER) /* per CPU, aligned to itself */

#define HV_VIRT_START 0xffff800000000000
#define HV_VIRT_END   0xffff880000000000
#define HV_L4_FIRST   256
#define HV_L4_LAST    271

#define M2P_RO_START     0xffff800000000000
#define M2P_RO_END       0xffff804000000000
#define PERDOMAIN_START  0xffff810000000000
#define PERDOMAIN_L4     258
#define M2P_RW_START     0xffff818000000000
#define VMAP_START       0xffff820000000000
#define VMAP_END         0xffff828000000000
#define FRAMETABLE_START 0xffff828000000000
#define IMAGE_START      0xffff82d080000000
#define DIRECTMAP_START  0xffff830000000000
#define DIRECTMAP_END    0xffff880000000000

/* Per-vCPU window in PERDOMAIN: 16 pages of GDT, then 16 pages of LDT. */
#define PERVCPU_SHIFT   17
#define PERVCPU_SIZE    (_UL(1) << PERVCPU_SHIFT)
#define PERVCPU_LDT_OFF (_UL(16) << PAGE_SHIFT)
#define GDT_VIRT(v) \
	(PERDOMAIN_START + ((unsigned long)(v)->id << PERVCPU_SHIFT))
#define LDT_VIRT(v) (GDT_VIRT(v) + PERVCPU_LDT_OFF)

/* Selectors of our own, in GDT page 14 (first reserved entry 7168 = 0xe000).
 * 0xe023, 0xe02b, 0xe033 are ABI (flat ring 3). */
#define HV_CS      0xe008
#define HV_DS      0xe010
#define GUEST_CS32 0xe023
#define GUEST_DS   0xe02b
#define GUEST_CS64 0xe033
#define TSS_SEL    0xe040 /* 16 bytes: entries 7176, 7177 */
#define LDT_SEL    0xe050 /* 16 bytes: entries 7178, 7179 */

/* Page-table entry bits. */
#define PTE_P     _UL(0x001)
#define PTE_W     _UL(0x002)
#define PTE_U     _UL(0x004)
#define PTE_PWT   _UL(0x008)
#define PTE_PCD   _UL(0x010)
#define PTE_A     _UL(0x020)
#define PTE_D     _UL(0x040)
#define PTE_PS    _UL(0x080) /* L2/L3 */
#define PTE_PAT   _UL(0x080) /* L1 */
#define PTE_G     _UL(0x100)
#define PTE_AVAIL _UL(0xe00)
/* L1: set by us on guest-kernel pages; write permission taken for the log. */
#define PTE_GUEST_KERNEL (_UL(1) << 52)
#define PTE_LOG_DIRTY    (_UL(1) << 53)
#define PTE_NX           (_UL(1) << 63)
/* MSR_PAT as the ABI fixes it: WB WT UC- UC WC WP UC UC. */
#define HV_PAT 0x0000050100070406
