/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client behind a shared page. The guest may write every byte of the page at
 * any time, so each index is read once, checked, and kept privately; our own
 * indices are only ever written. A guest that gets them wrong harms itself.
 */
#pragma once

#include "store/store.h"

extern const struct conn_ops ring_ops;

/*
 * Starts on a mapped page. resume: go on where c->ring says, after a restart;
 * the page's own producer index tells which of the bytes owed had been handed
 * over. -EBADMSG: the page's indices cannot be.
 */
int ring_attach(struct conn *c, struct xenstore_domain_interface *page,
		bool resume);
void ring_detach(struct conn *c);
