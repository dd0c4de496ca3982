/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels, both ABIs, against a model guest that takes events the way
 * the ABI tells it to. Frames are host pages; other parts are stand-ins that
 * record what was asked of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../hypervisor/comm/evtchn_private.h"
#include "host.h"
#include <bh/guest_access.h>
#include <bh/hypercall.h>
#include <bh/irq.h>
#include <bh/smp.h>

/* ---- stand-ins -------------------------------------------------------------- */

struct cpu host_cpu;
struct vcpu *host_current;
struct domain *hardware_domain;
static struct domain *doms[4];
static int kicks, unblocks, pirq_binds, pirq_unbinds, pirq_bind_rc;

#define FRAMES 300
static u8 (*frames)[PAGE_SIZE];
static struct page_info pages[FRAMES];

void *host_page_to_virt(const struct page_info *pg)
{
	return frames[pg - pages];
}
struct page_info *host_virt_to_page(const void *va)
{
	return &pages[((const u8 *)va - frames[0]) / PAGE_SIZE];
}
struct page_info *page_from_mfn(mfn_t mfn, struct domain *d)
{
	if (mfn_x(mfn) >= FRAMES)
		return NULL;
	pages[mfn_x(mfn)].count++;
	return &pages[mfn_x(mfn)];
}
int page_get_type(struct page_info *pg, u64 type, bool preemptible)
{
	pg->type++;
	return 0;
}
void page_put(struct page_info *pg)
{
	pg->count--;
}
void page_put_and_type(struct page_info *pg)
{
	pg->count--;
	pg->type--;
}
void smp_quiesce(void)
{
}
bool hypercall_preempt(void)
{
	return false;
}
void vcpu_kick(struct vcpu *v)
{
	kicks++;
}
void vcpu_unblock(struct vcpu *v)
{
	unblocks++;
}
struct domain *domain_find(domid_t id)
{
	return id < 4 ? doms[id] : NULL;
}
struct domain *domain_by_id(domid_t id)
{
	return domain_find(id);
}
struct domain *domain_by_any_id(domid_t id)
{
	return id == DOMID_SELF ? host_current->domain : domain_find(id);
}
void domain_put(struct domain *d)
{
}
struct vcpu *domain_vcpu(const struct domain *d, u32 id)
{
	return id < d->max_vcpus ? d->vcpu[id] : NULL;
}
int pirq_guest_bind(struct vcpu *v, u32 pirq, bool will_share)
{
	pirq_binds++;
	return pirq_bind_rc;
}
void pirq_guest_unbind(struct domain *d, u32 pirq)
{
	pirq_unbinds++;
}
void pirq_set_affinity(struct domain *d, u32 pirq, unsigned int cpu)
{
}
int copy_from_guest(void *dst, gptr_t src, unsigned long n)
{
	if (!src.a)
		return -EFAULT;
	memcpy(dst, (void *)src.a, n);
	return 0;
}
int get_guest_u32(u32 *v, gptr_t src)
{
	return copy_from_guest(v, src, sizeof(*v));
}
int copy_to_guest(gptr_t dst, const void *src, unsigned long n)
{
	memcpy((void *)dst.a, src, n);
	return 0;
}

/* ---- set-up ------------------------------------------------------------------- */

static long op(struct domain *d, unsigned int cmd, void *arg)
{
	unsigned long a[6] = { cmd, (unsigned long)arg };

	host_current = d->vcpu[0];
	return do_event_channel_op(d->vcpu[0], a);
}

static struct domain *mk(domid_t id, u32 vcpus, u32 max_port)
{
	struct domain *d = calloc(1, sizeof(*d));

	d->id = id;
	d->max_vcpus = vcpus;
	d->vcpu = calloc(vcpus, sizeof(d->vcpu[0]));
	d->shared = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	memset(d->shared, 0, PAGE_SIZE);
	for (u32 i = 0; i < vcpus; i++) {
		struct vcpu *v = calloc(1, sizeof(*v));

		v->id = i;
		v->domain = d;
		v->info = (void *)&d->shared->vcpu_info[i];
		d->vcpu[i] = v;
	}
	assert_int_equal(evtchn_init(d, max_port), 0);
	doms[id] = d;
	return d;
}

static void rm(struct domain *d)
{
	assert_int_equal(evtchn_destroy(d), 0);
	assert_int_equal(d->evtchn.nr_open, 0);
	evtchn_free(d);
	doms[d->id] = NULL;
	for (u32 i = 0; i < d->max_vcpus; i++)
		free(d->vcpu[i]);
	free(d->vcpu);
	free(d->shared);
	free(d);
}

static int setup(void **state)
{
	frames = aligned_alloc(PAGE_SIZE, FRAMES * PAGE_SIZE);
	memset(frames, 0, FRAMES * PAGE_SIZE);
	memset(pages, 0, sizeof(pages));
	hardware_domain = mk(0, 2, ~0U);
	hardware_domain->is_privileged = true;
	mk(1, 2, 1023);
	mk(2, 1, 1023);
	kicks = unblocks = pirq_binds = pirq_unbinds = pirq_bind_rc = 0;
	return 0;
}

static int teardown(void **state)
{
	for (int i = 2; i >= 0; i--)
		rm(doms[i]);
	for (int i = 0; i < FRAMES; i++)
		assert_int_equal(pages[i].count | pages[i].type, 0);
	free(frames);
	return 0;
}

static u32 ipi(struct domain *d, u32 vcpu)
{
	struct evtchn_bind_ipi b = { .vcpu = vcpu };

	assert_int_equal(op(d, EVTCHNOP_bind_ipi, &b), 0);
	return b.port;
}

static long sendto(struct domain *d, u32 port)
{
	struct evtchn_send s = { .port = port };

	return op(d, EVTCHNOP_send, &s);
}

static void fifo_on(struct domain *d, int nr_pages)
{
	static u64 next_frame;

	if (d->id == 0)
		next_frame = 0;
	for (u32 i = 0; i < d->max_vcpus; i++) {
		struct evtchn_init_control c = { .control_gfn = next_frame++,
						 .offset = 64,
						 .vcpu = i };
		assert_int_equal(op(d, EVTCHNOP_init_control, &c), 0);
		assert_int_equal(c.link_bits, 17);
		/* a second time is an error */
		assert_int_equal(op(d, EVTCHNOP_init_control, &c), -EINVAL);
	}
	for (int i = 0; i < nr_pages; i++) {
		struct evtchn_expand_array e = { .array_gfn = next_frame++ };

		assert_int_equal(op(d, EVTCHNOP_expand_array, &e), 0);
	}
}

/* The guest's side of FIFO: 0 when nothing is left. */
static event_word_t *gword(struct domain *d, u32 port)
{
	/* frames of domain 0: control blocks 0, 1; array from 2 */
	return (event_word_t *)frames[d->max_vcpus + port / 1024] + port % 1024;
}

static u32 take(struct domain *d, u32 vcpu)
{
	struct evtchn_fifo_control_block *cb = (void *)(frames[vcpu] + 64);
	static u32 head[2][16];
	u32 ready, port, w;
	int q;

	for (;;) {
		ready = cb->ready;
		if (!ready)
			return 0;
		q = __builtin_ctz(ready);
		port = head[vcpu][q];
		if (!port) {
			cb->ready &= ~(1U << q);
			port = cb->head[q];
			if (!port)
				continue;
		}
		w = *gword(d, port);
		*gword(d, port) =
			w & ~(1U << EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK);
		head[vcpu][q] = w & EVTCHN_FIFO_LINK_MASK;
		if (head[vcpu][q])
			cb->ready |= 1U << q;
		else
			cb->head[q] = 0;
		if ((w & (1U << EVTCHN_FIFO_PENDING)) &&
		    !(w & (1U << EVTCHN_FIFO_MASKED))) {
			*gword(d, port) &= ~(1U << EVTCHN_FIFO_PENDING);
			return port;
		}
	}
}

/* ---- tests: common --------------------------------------------------------------- */

static void ports_count_up_from_one(void **state)
{
	assert_int_equal(ipi(doms[1], 0), 1);
	assert_int_equal(ipi(doms[1], 1), 2);
}

static void port_limit_is_kept(void **state)
{
	struct evtchn_bind_ipi b = { .vcpu = 0 };

	for (int i = 1; i <= 1023; i++)
		assert_int_equal(ipi(doms[1], 0), i);
	assert_int_equal(op(doms[1], EVTCHNOP_bind_ipi, &b), -ENOSPC);
}

static void interdomain_goes_both_ways(void **state)
{
	struct domain *a = doms[1], *b = doms[2];
	struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = 2 };
	struct evtchn_bind_interdomain i = { .remote_dom = 1 };
	struct evtchn_status s = { .dom = DOMID_SELF };
	struct evtchn_close c;

	assert_int_equal(op(a, EVTCHNOP_alloc_unbound, &u), 0);
	i.remote_port = u.port;
	/* not for domain 0 */
	assert_int_equal(op(doms[0], EVTCHNOP_bind_interdomain, &i), -EINVAL);
	assert_int_equal(op(b, EVTCHNOP_bind_interdomain, &i), 0);
	/* the binder is told at once, spuriously */
	assert_true(test_bit(i.local_port, b->shared->evtchn_pending));
	assert_int_equal(op(b, EVTCHNOP_bind_interdomain, &i), -EINVAL);

	assert_int_equal(sendto(b, i.local_port), 0);
	assert_true(test_bit(u.port, a->shared->evtchn_pending));
	assert_int_equal(a->vcpu[0]->info->evtchn_upcall_pending, 1);
	s.port = u.port;
	assert_int_equal(op(a, EVTCHNOP_status, &s), 0);
	assert_int_equal(s.status, EVTCHNSTAT_interdomain);
	assert_int_equal(s.u.interdomain.dom, 2);
	assert_int_equal(s.u.interdomain.port, i.local_port);

	c.port = i.local_port;
	assert_int_equal(op(b, EVTCHNOP_close, &c), 0);
	assert_int_equal(op(a, EVTCHNOP_status, &s), 0);
	assert_int_equal(s.status, EVTCHNSTAT_unbound);
	assert_int_equal(s.u.unbound.dom, 2);
	/* sending on it is not an error */
	assert_int_equal(sendto(a, u.port), 0);
	assert_int_equal(op(b, EVTCHNOP_close, &c), -EINVAL);
}

static void virqs_are_bound_once(void **state)
{
	struct evtchn_bind_virq b = { .virq = VIRQ_TIMER, .vcpu = 1 };

	assert_int_equal(op(doms[1], EVTCHNOP_bind_virq, &b), 0);
	assert_int_equal(op(doms[1], EVTCHNOP_bind_virq, &b), -EEXIST);
	evtchn_send_virq(doms[1]->vcpu[1], VIRQ_TIMER);
	assert_true(test_bit(b.port, doms[1]->shared->evtchn_pending));
	assert_int_equal(doms[1]->vcpu[1]->info->evtchn_upcall_pending, 1);
	assert_int_equal(doms[1]->vcpu[0]->info->evtchn_upcall_pending, 0);
	b.virq = VIRQ_CONSOLE; /* global: vCPU 0 only */
	assert_int_equal(op(doms[1], EVTCHNOP_bind_virq, &b), -EINVAL);
	b.virq = 24;
	assert_int_equal(op(doms[1], EVTCHNOP_bind_virq, &b), -EINVAL);
	b.virq = VIRQ_TIMER;
	b.vcpu = 7;
	assert_int_equal(op(doms[1], EVTCHNOP_bind_virq, &b), -ENOENT);
}

static void global_virq_reaches_its_handler(void **state)
{
	struct evtchn_bind_virq b = { .virq = VIRQ_DOM_EXC };

	assert_int_equal(op(doms[0], EVTCHNOP_bind_virq, &b), 0);
	evtchn_send_global_virq(VIRQ_DOM_EXC);
	assert_true(test_bit(b.port, doms[0]->shared->evtchn_pending));
	assert_int_equal(evtchn_set_virq_handler(doms[2], VIRQ_TIMER), -EINVAL);
}

static void pirqs_bind_send_and_close(void **state)
{
	struct evtchn_bind_pirq b = { .pirq = 9 };
	struct evtchn_close c;

	assert_int_equal(op(doms[0], EVTCHNOP_bind_pirq, &b), 0);
	assert_int_equal(pirq_binds, 1);
	evtchn_send_pirq(doms[0], 9);
	assert_true(test_bit(b.port, doms[0]->shared->evtchn_pending));
	c.port = b.port;
	assert_int_equal(op(doms[0], EVTCHNOP_bind_pirq, &b), -EEXIST);
	assert_int_equal(op(doms[0], EVTCHNOP_close, &c), 0);
	assert_int_equal(pirq_unbinds, 1);
	pirq_bind_rc = -EBUSY;
	assert_int_equal(op(doms[0], EVTCHNOP_bind_pirq, &b), -EBUSY);
	assert_int_equal(doms[0]->evtchn.pirq_port[9], 0);
	b.pirq = NR_IRQS;
	assert_int_equal(op(doms[0], EVTCHNOP_bind_pirq, &b), -EINVAL);
}

static void others_ports_need_privilege(void **state)
{
	struct evtchn_alloc_unbound u = { .dom = 2, .remote_dom = 0 };
	struct evtchn_status s = { .dom = 2, .port = 1 };
	struct evtchn_reset r = { .dom = 2 };

	assert_int_equal(op(doms[1], EVTCHNOP_alloc_unbound, &u), -EPERM);
	assert_int_equal(op(doms[1], EVTCHNOP_status, &s), -EPERM);
	assert_int_equal(op(doms[1], EVTCHNOP_reset, &r), -EPERM);
	assert_int_equal(op(doms[0], EVTCHNOP_alloc_unbound, &u), 0);
	u.dom = 3;
	assert_int_equal(op(doms[0], EVTCHNOP_alloc_unbound, &u), -ESRCH);
}

static void bad_ports_are_refused(void **state)
{
	struct evtchn_close c = { .port = 0 };
	static const u32 bad[] = { 0, 5, 127, 128, 1024, 4096, 131072, ~0U };

	assert_int_equal(op(doms[1], EVTCHNOP_close, &c), -EINVAL);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		c.port = bad[i];
		assert_int_equal(sendto(doms[1], bad[i]), -EINVAL);
		assert_int_equal(op(doms[1], EVTCHNOP_close, &c), -EINVAL);
	}
	assert_int_equal(op(doms[1], 99, &c), -ENOSYS);
	assert_int_equal(op(doms[1], EVTCHNOP_send, NULL), -EFAULT);
}

static void rebinding_sees_no_old_event(void **state)
{
	struct evtchn_close c;

	c.port = ipi(doms[1], 0);
	assert_int_equal(sendto(doms[1], c.port), 0);
	assert_int_equal(op(doms[1], EVTCHNOP_close, &c), 0);
	assert_int_equal(ipi(doms[1], 0), c.port);
	assert_false(test_bit(c.port, doms[1]->shared->evtchn_pending));
}

/* ---- tests: 2-level ----------------------------------------------------------------- */

static void masked_event_waits_for_unmask(void **state)
{
	struct domain *d = doms[1];
	u32 p = ipi(d, 1);
	struct evtchn_unmask u = { .port = p };

	set_bit(p, d->shared->evtchn_mask);
	assert_int_equal(sendto(d, p), 0);
	assert_int_equal(kicks, 0);
	assert_int_equal(op(d, EVTCHNOP_unmask, &u), 0);
	assert_int_equal(kicks, 1);
	assert_int_equal(d->vcpu[1]->info->evtchn_pending_sel, 1);
	/* pending already: sending again is silent */
	assert_int_equal(sendto(d, p), 0);
	assert_int_equal(kicks, 1);
}

static void pollers_are_woken_even_when_masked(void **state)
{
	struct domain *d = doms[1];
	u32 p = ipi(d, 0), q = ipi(d, 0);

	set_bit(p, d->shared->evtchn_mask);
	set_bit(q, d->shared->evtchn_mask);
	d->vcpu[1]->poll_port = p;
	set_bit(1, d->evtchn.poll_mask);
	d->evtchn.nr_polling = 1;
	sendto(d, q);
	assert_int_equal(unblocks, 0);
	sendto(d, p);
	assert_int_equal(unblocks, 1);
	assert_true(evtchn_port_pending(d, p));
	d->evtchn.nr_polling = 0;
}

/* ---- tests: FIFO ---------------------------------------------------------------------- */

static void fifo_keeps_order(void **state)
{
	struct domain *d = doms[0];
	u32 p[50];

	fifo_on(d, 1);
	for (int i = 0; i < 50; i++)
		p[i] = ipi(d, 0);
	for (int i = 49; i >= 0; i--)
		assert_int_equal(sendto(d, p[i]), 0);
	assert_int_equal(kicks, 1);
	for (int i = 49; i >= 0; i--)
		assert_int_equal(take(d, 0), p[i]);
	assert_int_equal(take(d, 0), 0);
}

static void fifo_priority_goes_first(void **state)
{
	struct domain *d = doms[0];
	u32 a, b;
	struct evtchn_set_priority s;

	fifo_on(d, 1);
	a = ipi(d, 0);
	b = ipi(d, 0);
	s = (struct evtchn_set_priority){ .port = b, .priority = 0 };
	assert_int_equal(op(d, EVTCHNOP_set_priority, &s), 0);
	s.priority = 16;
	assert_int_equal(op(d, EVTCHNOP_set_priority, &s), -EINVAL);
	sendto(d, a);
	sendto(d, b);
	assert_int_equal(take(d, 0), b);
	assert_int_equal(take(d, 0), a);
}

static void fifo_event_before_its_word_is_kept(void **state)
{
	struct domain *d = doms[0];
	struct evtchn_expand_array e = { .array_gfn = 3 };
	u32 port = 0;

	fifo_on(d, 1);
	while (port < 1030)
		port = ipi(d, 0);
	sendto(d, port);
	assert_int_equal(take(d, 0), 0);
	assert_int_equal(op(d, EVTCHNOP_expand_array, &e), 0);
	assert_int_equal(take(d, 0), port);
}

static void fifo_takes_over_pending_2l_events(void **state)
{
	struct domain *d = doms[0];
	u32 p = ipi(d, 0);

	sendto(d, p);
	fifo_on(d, 1);
	assert_int_equal(take(d, 0), p);
}

static void fifo_moved_event_is_not_lost(void **state)
{
	struct domain *d = doms[0];
	struct evtchn_alloc_unbound u = { .dom = DOMID_SELF,
					  .remote_dom = DOMID_SELF };
	struct evtchn_bind_interdomain i = { .remote_dom = DOMID_SELF };
	struct evtchn_bind_vcpu b = { .vcpu = 1 };

	fifo_on(d, 1);
	assert_int_equal(op(d, EVTCHNOP_alloc_unbound, &u), 0);
	i.remote_port = u.port;
	assert_int_equal(op(d, EVTCHNOP_bind_interdomain, &i), 0);
	assert_int_equal(take(d, 0), i.local_port);
	sendto(d, i.local_port);
	b.port = u.port;
	assert_int_equal(op(d, EVTCHNOP_bind_vcpu, &b), 0);
	assert_int_equal(take(d, 0), u.port);
	sendto(d, i.local_port);
	assert_int_equal(take(d, 0), 0);
	assert_int_equal(take(d, 1), u.port);
}

/* Random sends, masks, unmasks, moves and takes: no event is lost or made. */
static void fifo_loses_nothing(void **state)
{
	struct domain *d = doms[0];
	bool want[65] = { 0 }, masked[65] = { 0 };
	u32 port, left = 0;

	srandom(3);
	fifo_on(d, 1);
	for (int i = 1; i <= 64; i++)
		assert_int_equal(ipi(d, i & 1), i);
	for (int step = 0; step < 200000; step++) {
		port = 1 + random() % 64;
		switch (random() % 6) {
		case 0:
		case 1:
			sendto(d, port);
			want[port] = true;
			break;
		case 2:
			*gword(d, port) |= 1U << EVTCHN_FIFO_MASKED;
			masked[port] = true;
			break;
		case 3: {
			struct evtchn_unmask u = { .port = port };

			op(d, EVTCHNOP_unmask, &u);
			masked[port] = false;
			break;
		}
		case 4: {
			struct evtchn_set_priority s = { .port = port };

			s.priority = random() % 16;
			op(d, EVTCHNOP_set_priority, &s);
			break;
		}
		default:
			port = take(d, random() & 1);
			if (!port)
				break;
			assert_true(want[port] && !masked[port]);
			want[port] = false;
		}
	}
	for (int v = 0; v < 2; v++)
		while ((port = take(d, v)) != 0) {
			assert_true(want[port]);
			want[port] = false;
		}
	for (int i = 1; i <= 64; i++)
		left += want[i] && !masked[i];
	assert_int_equal(left, 0);
}

static void fifo_survives_a_hostile_guest(void **state)
{
	struct domain *d = doms[0];

	srandom(5);
	fifo_on(d, 1);
	for (int i = 1; i <= 64; i++)
		ipi(d, i & 1);
	for (int step = 0; step < 100000; step++) {
		*gword(d, random() % 1024) = random() << 1;
		*(u32 *)(frames[random() & 1] + 64 + random() % 18 * 4) =
			random();
		sendto(d, 1 + random() % 64);
	}
}

static void fifo_bad_arguments(void **state)
{
	struct domain *d = doms[0];
	struct evtchn_init_control c = { .control_gfn = FRAMES };
	struct evtchn_expand_array e = { .array_gfn = 1 };

	assert_int_equal(op(d, EVTCHNOP_expand_array, &e), -EOPNOTSUPP);
	assert_int_equal(op(d, EVTCHNOP_init_control, &c), -EINVAL);
	c.control_gfn = 1;
	c.offset = PAGE_SIZE - 64;
	assert_int_equal(op(d, EVTCHNOP_init_control, &c), -EINVAL);
	c.offset = 4;
	assert_int_equal(op(d, EVTCHNOP_init_control, &c), -EINVAL);
	c.offset = 0;
	c.vcpu = 9;
	assert_int_equal(op(d, EVTCHNOP_init_control, &c), -ENOENT);
}

static void reset_goes_back_to_2l(void **state)
{
	struct domain *d = doms[0];
	struct evtchn_reset r = { .dom = DOMID_SELF };
	u32 p;

	fifo_on(d, 1);
	ipi(d, 0);
	assert_int_equal(op(d, EVTCHNOP_reset, &r), 0);
	p = ipi(d, 0);
	assert_int_equal(p, 1);
	sendto(d, p);
	assert_true(test_bit(p, d->shared->evtchn_pending));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ports_count_up_from_one),
		T(port_limit_is_kept),
		T(interdomain_goes_both_ways),
		T(virqs_are_bound_once),
		T(global_virq_reaches_its_handler),
		T(pirqs_bind_send_and_close),
		T(others_ports_need_privilege),
		T(bad_ports_are_refused),
		T(rebinding_sees_no_old_event),
		T(masked_event_waits_for_unmask),
		T(pollers_are_woken_even_when_masked),
		T(fifo_keeps_order),
		T(fifo_priority_goes_first),
		T(fifo_event_before_its_word_is_kept),
		T(fifo_takes_over_pending_2l_events),
		T(fifo_moved_event_is_not_lost),
		T(fifo_loses_nothing),
		T(fifo_survives_a_hostile_guest),
		T(fifo_bad_arguments),
		T(reset_goes_back_to_2l),
	};

	return cmocka_run_group_tests_name("evtchn", tests, NULL, NULL);
}
