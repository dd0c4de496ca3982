/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hash of a node's path (FNV-1a, 64 bits folded to 32), for the tables of
 * transactions and watches. It can go on from a prefix, so that looking up
 * every prefix of a path costs as much as looking up the path.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_START 0xcbf29ce484222325ull

static inline uint64_t hash_more(uint64_t h, const char *path, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)path[i]) * 0x100000001b3ull;
	return h;
}

static inline uint32_t hash_end(uint64_t h)
{
	return (uint32_t)(h ^ h >> 32);
}

static inline uint32_t hash_path(const char *path, size_t len)
{
	return hash_end(hash_more(HASH_START, path, len));
}
