/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels from user space, through /dev/xen/evtchn.
 *
 * A handle is the device's fd. It becomes readable when a bound port fires;
 * bh_evtchn_pending() takes one port, which then stays masked until
 * bh_evtchn_unmask(). Closing the fd closes every port bound through it; the
 * other end of an interdomain port then turns unbound again and the same
 * domain may bind it once more, which is how a restarted daemon continues.
 *
 * All return a port or 0, or a negative errno.
 */
#pragma once

#include <stdint.h>

#include "bulkhead/util.h"

int bh_evtchn_open(void) __must_check;

/* Binds a new local port to the other domain's unbound one: local port. */
int bh_evtchn_bind_interdomain(int fd, uint32_t domid, uint32_t port)
	__must_check;
/* A new local port that domid may bind to. */
int bh_evtchn_bind_unbound(int fd, uint32_t domid) __must_check;
/* VIRQ_DOM_EXC and friends; -EEXIST if somebody else has it. */
int bh_evtchn_bind_virq(int fd, uint32_t virq) __must_check;
int bh_evtchn_unbind(int fd, uint32_t port);
int bh_evtchn_notify(int fd, uint32_t port);

/* The next port that fired (masked from now on), -EAGAIN when there is none. */
int bh_evtchn_pending(int fd) __must_check;
int bh_evtchn_unmask(int fd, uint32_t port);
