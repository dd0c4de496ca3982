/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host stand-in: the real header, but frames are where the test says. */
#pragma once

#include_next <bh/mm.h>

void *host_page_to_virt(const struct page_info *pg);
struct page_info *host_virt_to_page(const void *va);
#define page_to_virt(pg) host_page_to_virt(pg)
#define virt_to_page(va) host_virt_to_page(va)
