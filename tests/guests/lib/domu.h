/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Further domains, made by the test kernel (domu.c). */
#pragma once

#include "lib.h"

#include <public/domctl.h>
#include <public/sysctl.h>

struct domu {
	u32 id;
	u64 mfn[400]; /* tables, then the image */
};

/* Builds it, with one vCPU that enters fn of its own copy of this kernel. */
void domu_start(struct domu *u, void (*fn)(void));
void domu_start_paused(struct domu *u, void (*fn)(void));
/* Its memory at va, read and written, which must not cross a page. */
void domu_copy(const struct domu *u, void *to, const void *va, size_t n);
void domu_poke(const struct domu *u, void *va, const void *from, size_t n);
void domu_info(const struct domu *u, struct xen_domctl_getdomaininfo *ret);
void domu_destroy(struct domu *u);
long domctl(struct xen_domctl *op, u32 cmd, u32 domid);
u64 free_frames(void);
void sleep_ms(unsigned int ms); /* gives up the processor */
