/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986). `child` is the
 * leftmost child, `next` the right sibling, `prev` the left sibling or, for a
 * leftmost child, the parent. Pure: compiled for the build host by its test.
 */
#include "timer_heap.h"

/* Makes the later of two roots the first child of the earlier. */
static struct timer *meld(struct timer *a, struct timer *b)
{
	struct timer *t;

	if (!a)
		return b;
	if (!b)
		return a;
	if (b->expires < a->expires) {
		t = a;
		a = b;
		b = t;
	}
	b->next = a->child;
	b->prev = a;
	if (a->child)
		a->child->prev = b;
	a->child = b;
	a->next = a->prev = NULL;
	return a;
}

/* Melds a list of siblings: pairs from left to right, then right to left. */
static struct timer *meld_siblings(struct timer *first)
{
	struct timer *pairs = NULL, *root = NULL, *a, *b, *rest;

	while (first) {
		a = first;
		b = a->next;
		rest = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs; /* a stack of pairs, linked through next */
		pairs = a;
		first = rest;
	}
	while (pairs) {
		a = pairs;
		pairs = a->next;
		a->next = NULL;
		root = meld(root, a);
	}
	return root;
}

struct timer *timer_heap_insert(struct timer *root, struct timer *t)
{
	t->child = t->next = t->prev = NULL;
	return meld(root, t);
}

struct timer *timer_heap_remove(struct timer *root, struct timer *t)
{
	struct timer *sub = meld_siblings(t->child);

	t->child = NULL;
	if (t == root)
		return sub;
	if (t->prev->child == t)
		t->prev->child = t->next;
	else
		t->prev->next = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->next = t->prev = NULL;
	return meld(root, sub);
}
