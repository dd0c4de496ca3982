/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Circular doubly linked lists, the head being a node itself. */
#pragma once

#include <bh/lib.h>

struct list {
	struct list *next, *prev;
};
#define LIST_INIT(name)          \
	{                        \
		&(name), &(name) \
	}

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
	return READ_ONCE(l->next) == l;
}
static inline void list_add_before(struct list *n, struct list *at)
{
	n->next = at;
	n->prev = at->prev;
	at->prev->next = n;
	at->prev = n;
}
static inline void list_add(struct list *n, struct list *head)
{
	list_add_before(n, head->next);
}
static inline void list_add_tail(struct list *n, struct list *head)
{
	list_add_before(n, head);
}
/* Unlinks n and leaves it a valid empty list. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
#define list_entry(p, t, m) container_of(p, t, m)
#define list_first(h, t, m) list_entry((h)->next, t, m)
#define list_for_each_entry(p, h, m)                                 \
	for (p = list_entry((h)->next, typeof(*p), m); &p->m != (h); \
	     p = list_entry(p->m.next, typeof(*p), m))
#define list_for_each_entry_safe(p, n, h, m)           \
	for (p = list_entry((h)->next, typeof(*p), m), \
	    n = list_entry(p->m.next, typeof(*p), m);  \
	     &p->m != (h); p = n, n = list_entry(n->m.next, typeof(*n), m))
