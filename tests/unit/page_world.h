/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two domains of few frames and four vCPUs for test_page.c, and the model that
 * the frames are compared with: so simple that it is obviously right.
 */
#pragma once

#include <bh/domain.h>

#define FIRST    64 /* first frame of the domains */
#define PER_DOM  24
#define NR       (2 * PER_DOM)
#define IO_FRAME 5000UL

extern struct domain *dom[2];
extern struct vcpu vcpus[4];
extern __thread unsigned int seed;
extern __thread unsigned int preempt_one_in; /* 0: never */

/* What check_all() found: references and uses of each frame. */
extern unsigned int refs[NR], types[NR];

unsigned int rnd(unsigned int n); /* 0 .. n - 1 */
/* Counts what all tables, pins, base pointers and half-done work hold, and
 * compares it with what the frames say. Nothing else may run meanwhile. */
void check_all(void);
int setup(void **state);
void drain(struct vcpu *v); /* finishes what v was preempted in */
/* Everything given back: all counts must be as at the start. */
void teardown_all(void);
