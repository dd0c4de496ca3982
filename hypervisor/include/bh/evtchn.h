/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels: one-bit signals between domains, from virtual and physical
 * interrupts, and between a domain's own vCPUs. 2-level and FIFO ABI.
 */
#pragma once

#include <bh/config.h>
#include <bh/list.h>
#include <bh/spinlock.h>
#include <public/event_channel.h>

struct domain;
struct vcpu;
struct evtchn; /* comm/evtchn_private.h */
struct evtchn_fifo_domain;

struct evtchn_domain {
	struct spinlock lock;   /* binding and closing */
	struct evtchn **bucket; /* ports in groups, grown on demand */
	u32 nr_valid;           /* ports allocated so far */
	u32 max_port;           /* limit from createdomain, inclusive */
	struct evtchn_fifo_domain *fifo; /* NULL: 2-level */
	u32 *pirq_port;  /* port by pirq; NULL until one is bound */
	u32 lowest_free; /* no free port below it */
	u32 nr_open;     /* ports not free, for debugging keys */
	u32 next_close;  /* progress of evtchn_destroy() */
	u32 next_reset;  /* progress of evtchn_reset() */
	u32 nr_polling;  /* vCPUs in SCHEDOP_poll; atomic */
	DECLARE_BITMAP(poll_mask, MAX_VCPUS);
};
int evtchn_init(struct domain *d, u32 max_port);
int evtchn_vcpu_init(struct vcpu *v);
/* Closes everything; preemptible: 0 or -ERESTART. */
int evtchn_destroy(struct domain *d);
void evtchn_free(struct domain *d); /* after the last reference */
int evtchn_reset(struct domain *d); /* preemptible too */
/* Any context, interrupts off allowed. */
void evtchn_send_virq(struct vcpu *v, u32 virq); /* per-vCPU VIRQs */
void evtchn_send_global_virq(u32 virq); /* to its handler domain (dom0) */
void evtchn_send_pirq(struct domain *d, u32 pirq);
/* As if d itself had sent on its port. */
int evtchn_send(struct domain *d, u32 port);
int evtchn_set_virq_handler(struct domain *d, u32 virq);
/* Port state for pirq code. */
void evtchn_unmask_all_pending(struct vcpu *v); /* after register_vcpu_info */
bool evtchn_port_pending(struct domain *d, u32 port); /* for SCHEDOP_poll */
bool evtchn_port_valid(struct domain *d, u32 port);
/* In-hypervisor allocation on behalf of tools is through the hypercall only. */
void evtchn_move_pirqs(struct vcpu *v);
/* Debug key. */
void evtchn_dump(struct domain *d);
