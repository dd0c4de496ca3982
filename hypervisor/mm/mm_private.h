/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of mm/ share and nobody else uses. */
#pragma once

#include <bh/mm.h>
#include <public/xen.h>

/* Gives boot memory to the heap: [first, last] frames, page_infos zeroed. */
void heap_add_range(unsigned long first, unsigned long last);
/* Boot finished telling m2p chunks: frame of the 2 MiB chunk i, 0: hole. */
unsigned long m2p_chunk_mfn(unsigned int i);
unsigned int m2p_nr_chunks(void);

struct domain;
struct vcpu;
/* Domain a memory operation is about, with a reference; NULL and *rc. */
struct domain *memory_op_domain(struct vcpu *v, domid_t id, long *rc);
unsigned int memory_op_max_order(const struct vcpu *v);
long memory_exchange(struct vcpu *v, gptr_t arg);
