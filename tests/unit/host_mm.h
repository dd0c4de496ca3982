/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included before everything else by the tests of mm/ and of the PV page
 * tables: frames and their page_infos lie where a process can map them, and
 * each thread is a processor with a vCPU of its own.
 */
#pragma once

#include <bh/config.h>

#undef DIRECTMAP_START
#undef DIRECTMAP_END
#undef FRAMETABLE_START
#define DIRECTMAP_START  0x200000000000UL
#define DIRECTMAP_END    0x210000000000UL
#define FRAMETABLE_START 0x220000000000UL

#include <bh/mm.h>
#undef page_to_virt
#undef virt_to_page
#include <bh/percpu.h>
#undef current

struct vcpu;
extern __thread struct vcpu *host_vcpu;
#define current host_vcpu

/* Maps n frames and their page_infos, all zero; sets max_mfn. */
void host_mm_init(unsigned long n);
