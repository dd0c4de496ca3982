/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairing heap of timers, ordered by expiry. Intrusive, so arming a timer never
 * allocates: insertion costs a comparison, removing the first O(log n)
 * amortised. No recursion: stack depth is fixed whatever guests arm.
 */
#pragma once

#include <bh/timer.h>

/* All return the new root. t is not in / is in the heap. */
struct timer *timer_heap_insert(struct timer *root, struct timer *t);
struct timer *timer_heap_remove(struct timer *root, struct timer *t);
