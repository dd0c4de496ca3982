/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spin locks: fair ticket locks. Interrupts are off only briefly in the
 * hypervisor, so a lock that interrupt handlers also take must be taken with
 * the _irqsave form everywhere else.
 *
 * Ranks: a CPU may only take locks of rising rank (debug builds check). Two
 * locks of one rank may be held only through spin_lock_nested(), whose caller
 * orders them by address or domain id.
 */
#pragma once

#include <bh/types.h>

enum lock_rank {
	LOCK_NONE = 0, /* not checked */
	LOCK_DOMCTL,   /* serialises domctl */
	LOCK_SYSCTL,
	LOCK_DOMLIST,    /* domain table changes */
	LOCK_DOMAIN,     /* struct domain.lock: shutdown, vcpu lists */
	LOCK_GRANT,      /* grant_table.lock, maptrack */
	LOCK_PIRQ,       /* per-domain pirq map */
	LOCK_EVTCHN,     /* per-domain event table */
	LOCK_PAGE,       /* page-table page bit lock (PGT_locked) */
	LOCK_PAGE_ALLOC, /* domain.page_lock: page lists, tot_pages */
	LOCK_XMALLOC,    /* small objects */
	LOCK_HEAP,       /* buddy allocator */
	LOCK_IRQ,        /* irq descriptors, I/O APIC (irqsave) */
	LOCK_EVTQ,       /* one FIFO event queue (irqsave) */
	LOCK_SCHED,      /* per-CPU run queue (irqsave) */
	LOCK_SCHED_CAP,  /* a domain's cap budget (irqsave) */
	LOCK_TIMER,      /* per-CPU timer heap (irqsave) */
	LOCK_SHOOTDOWN,  /* TLB shootdown request */
	LOCK_CONSOLE,    /* console (irqsave) */
};

struct spinlock {
	union {
		u32 both;
		struct {
			u16 owner, next;
		};
	};
	u8 rank;
	u16 cpu; /* debug: holder + 1 */
};
#define SPINLOCK_INIT(r)    \
	{                   \
		.rank = (r) \
	}

void spin_init(struct spinlock *l, enum lock_rank rank);
void spin_lock(struct spinlock *l) __acquires(l);
void spin_lock_nested(struct spinlock *l) __acquires(l);
bool spin_trylock(struct spinlock *l);
void spin_unlock(struct spinlock *l) __releases(l);
unsigned long spin_lock_irqsave(struct spinlock *l) __acquires(l);
void spin_unlock_irqrestore(struct spinlock *l, unsigned long flags)
	__releases(l);
bool spin_is_held(const struct spinlock *l);
/* Panic path only: forget all lock state so that the console still prints. */
void spin_bust(struct spinlock *l);
