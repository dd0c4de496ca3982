/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a guest, whatever from: the one place where volumes, file system,
 * identity and configuration of a new guest come together under a journal.
 * create, clone and import differ only in the source.
 */
#pragma once

#include "guest.h"
#include "identity.h"
#include "tmpl.h"

enum source_kind {
	SRC_TEMPLATE,
	SRC_GUEST,
	SRC_STREAM
};

struct make_req {
	struct guest *g; /* filled in by the caller; vg may be NULL */
	enum source_kind kind;
	const struct tmpl *tmpl;                  /* SRC_TEMPLATE */
	const char *src_vg, *src_lv, *src_fstype; /* SRC_GUEST */
	uint64_t src_bytes;
	bool src_live; /* the source is in use: take a snapshot first */
	/* SRC_STREAM: writes the root volume's content */
	int (*stream)(const char *dev, const void *arg);
	const void *stream_arg;
	uint64_t stream_bytes; /* how much it writes */
	bool keep_identity;    /* import --keep-identity */
	const char *want_vg, *want_pool;
	struct identity id;
	struct strv roles, scripts;
	bool replace; /* a guest of that name goes first (--force) */
	bool dry_run, autostart;
};

/*
 * The caller holds the guest's lock and has recovered journals. On success
 * the guest exists; on failure nothing does.
 */
int guest_make(struct make_req *q);
/*
 * Removes it with its volumes, those of its volume group; the caller holds the
 * lock. Stops it first, and does nothing more if a volume stays in use.
 */
int guest_destroy(const struct guest *g, bool wipe);
