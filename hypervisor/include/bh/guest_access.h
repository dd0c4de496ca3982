/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one layer through which guest virtual memory is touched. Addresses must
 * lie outside the hypervisor's range; accesses run on the current guest's
 * kernel page tables, may fault at any byte and then fail. SMAP is opened only
 * around the copy. Guest memory changes under our hands: fetch once.
 */
#pragma once

#include <bh/types.h>

/* [p, p+n) does not wrap and does not touch the hypervisor's range. */
bool gptr_ok(gptr_t p, unsigned long n);
/* 0 on success, else -EFAULT (some bytes may have been copied). */
int __must_check copy_from_guest(void *dst, gptr_t src, unsigned long n);
int __must_check copy_to_guest(gptr_t dst, const void *src, unsigned long n);
int __must_check clear_guest(gptr_t dst, unsigned long n);
/* One naturally sized, atomic access of 1, 2, 4 or 8 bytes. */
int __must_check get_guest_u64(u64 *v, gptr_t src);
int __must_check get_guest_u32(u32 *v, gptr_t src);
int __must_check get_guest_u8(u8 *v, gptr_t src);
int __must_check put_guest_u64(gptr_t dst, u64 v);
int __must_check put_guest_u32(gptr_t dst, u32 v);
/* A few words, for arguments of hot calls. */
int __must_check get_guest_words(u64 *v, gptr_t src, unsigned int n);
/* 0 done; 1 *old did not match and was reloaded; -EFAULT. */
int __must_check cmpxchg_guest_u64(gptr_t p, u64 *old, u64 new);
/* NUL-terminated string of at most size-1 bytes; -E2BIG, -EFAULT. */
int __must_check strncpy_from_guest(char *dst, gptr_t src, unsigned long size);
