/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knobs of host.c. Includes cmocka with what it needs. */
#pragma once

/* The n-th allocation from now on fails (0: none). Reset count as well. */
extern unsigned int host_alloc_fail_at, host_alloc_count;

void *xmalloc(__SIZE_TYPE__ n);
void *xzalloc(__SIZE_TYPE__ n);
void xfree(void *p);
