/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ticket spin locks with rank checking in debug builds.
 *
 * A CPU keeps one bit per rank it holds. Taking a lock whose rank is at or
 * below one held would be a lock-order inversion somewhere, so it is reported
 * at once instead of when two CPUs happen to meet. Ranks taken by interrupt
 * handlers are the highest ones, so an interrupt never breaks the order of
 * what it interrupted.
 */
#include <bh/cpuops.h>
#include <bh/percpu.h>

#ifndef NDEBUG
static void rank_check(const struct spinlock *l, const void *caller)
{
	struct cpu *c = this_cpu();

	if (c && l->rank && c->lock_rank_top >> l->rank)
		panic("lock order: rank %u taken at %pS with ranks %#x held\n",
		      l->rank, caller, c->lock_rank_top);
}

static void rank_set(struct spinlock *l)
{
	struct cpu *c = this_cpu();

	if (!c)
		return;
	l->cpu = c->id + 1;
	c->nr_locks_held++;
	if (l->rank)
		c->lock_rank_top |= 1U << l->rank;
}

static void rank_clear(struct spinlock *l)
{
	struct cpu *c = this_cpu();

	if (!c)
		return;
	l->cpu = 0;
	c->nr_locks_held--;
	c->lock_rank_top &= ~(1U << l->rank);
}
#else
#define rank_check(l, c) ((void)0)
#define rank_set(l)      ((void)0)
#define rank_clear(l)    ((void)0)
#endif

void spin_init(struct spinlock *l, enum lock_rank rank)
{
	*l = (struct spinlock)SPINLOCK_INIT(rank);
}

static inline void ticket_lock(struct spinlock *l)
{
	u32 t = __atomic_fetch_add(&l->both, 0x10000, __ATOMIC_ACQUIRE);
	u16 mine = t >> 16;

	while ((u16)t != mine) {
		cpu_relax();
		t = __atomic_load_n(&l->owner, __ATOMIC_ACQUIRE);
	}
}

void spin_lock(struct spinlock *l)
{
	rank_check(l, __builtin_return_address(0));
	ticket_lock(l);
	rank_set(l);
}

void spin_lock_nested(struct spinlock *l)
{
	ticket_lock(l);
	rank_set(l);
}

bool spin_trylock(struct spinlock *l)
{
	u32 old = READ_ONCE(l->both);

	if ((u16)old != old >> 16)
		return false;
	if (!__atomic_compare_exchange_n(&l->both, &old, old + 0x10000, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	rank_set(l);
	return true;
}

void spin_unlock(struct spinlock *l)
{
	rank_clear(l);
	/* Only the holder writes owner, so a plain increment is enough. */
	__atomic_store_n(&l->owner, (u16)(l->owner + 1), __ATOMIC_RELEASE);
}

unsigned long spin_lock_irqsave(struct spinlock *l)
{
	unsigned long flags = irq_save();

	rank_check(l, __builtin_return_address(0));
	ticket_lock(l);
	rank_set(l);
	return flags;
}

void spin_unlock_irqrestore(struct spinlock *l, unsigned long flags)
{
	spin_unlock(l);
	irq_restore(flags);
}

bool spin_is_held(const struct spinlock *l)
{
	u32 v = READ_ONCE(l->both);

	return (u16)v != v >> 16;
}

void spin_bust(struct spinlock *l)
{
	struct cpu *c = this_cpu();

	l->both = 0;
	if (c)
		c->lock_rank_top = 0;
}
