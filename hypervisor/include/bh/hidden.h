/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included before everything else by the build: all symbols, also those only
 * declared, are in this one image, so they are reached directly and not
 * through a table of addresses.
 */
#ifndef __ASSEMBLER__
#pragma GCC visibility push(hidden)
#endif
