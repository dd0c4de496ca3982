/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hypervisor's pure code expects around it, over libc: printing, the
 * end, locks that only check that they are balanced, memory that can be made
 * to run out (host_alloc_fail_at).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bh/lib.h>
#include <bh/spinlock.h>

#include "host.h"

unsigned int host_alloc_fail_at, host_alloc_count;

void printk(const char *fmt, ...)
{
	va_list ap;

	if (!getenv("VERBOSE"))
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt[0] == '\001' ? fmt + 2 : fmt, ap);
	va_end(ap);
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	abort();
}

void spin_init(struct spinlock *l, enum lock_rank rank)
{
	memset(l, 0, sizeof(*l));
	l->rank = rank;
}
void spin_lock(struct spinlock *l)
{
	ASSERT(!l->owner);
	l->owner = 1;
}
void spin_lock_nested(struct spinlock *l)
{
	spin_lock(l);
}
bool spin_trylock(struct spinlock *l)
{
	if (l->owner)
		return false;
	spin_lock(l);
	return true;
}
void spin_unlock(struct spinlock *l)
{
	ASSERT(l->owner);
	l->owner = 0;
}
unsigned long spin_lock_irqsave(struct spinlock *l)
{
	spin_lock(l);
	return 0;
}
void spin_unlock_irqrestore(struct spinlock *l, unsigned long flags)
{
	spin_unlock(l);
}
bool spin_is_held(const struct spinlock *l)
{
	return l->owner;
}

__attribute__((weak)) void *xmalloc(size_t n)
{
	return ++host_alloc_count == host_alloc_fail_at ? NULL : malloc(n);
}
__attribute__((weak)) void *xzalloc(size_t n)
{
	void *p = xmalloc(n);

	return p ? memset(p, 0, n) : NULL;
}
__attribute__((weak)) void xfree(void *p)
{
	free(p);
}
