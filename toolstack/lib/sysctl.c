/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hypervisor says about the host: processors, memory, its console.
 */
#include "bulkhead/hv.h"

int bh_hv_physinfo(struct bh_hv *h, struct xen_sysctl_physinfo *ret)
{
	struct xen_sysctl op = { .cmd = XEN_SYSCTL_physinfo };
	int r = bh_hv_sysctl(h, &op);

	if (r == 0)
		*ret = op.u.physinfo;
	return r;
}

int bh_hv_sched_id(struct bh_hv *h, uint32_t *ret)
{
	struct xen_sysctl op = { .cmd = XEN_SYSCTL_sched_id };
	int r = bh_hv_sysctl(h, &op);

	if (r == 0)
		*ret = op.u.sched_id.sched_id;
	return r;
}

int bh_hv_console(struct bh_hv *h, bool clear, char **ret, size_t *ret_len)
{
	const uint32_t piece = 65536;
	size_t mark = bh_hv_mark(h), n = 0, alloc = 0;
	char *b = bh_hv_buf(h, piece);
	char *text = NULL;
	uint32_t index = 0;
	int r = b ? 0 : -ENOMEM;

	for (unsigned int i = 0; r == 0 && i < 1024; i++) {
		struct xen_sysctl op = { .cmd = XEN_SYSCTL_readconsole };

		op.u.readconsole.incremental = 1;
		op.u.readconsole.index = index;
		op.u.readconsole.count = piece;
		set_xen_guest_handle(op.u.readconsole.buffer, b);
		r = bh_hv_sysctl(h, &op);
		if (r < 0 || op.u.readconsole.count == 0)
			break;
		r = bh_grow(&text, &alloc, n + op.u.readconsole.count + 1, 1);
		if (r < 0)
			break;
		memcpy(text + n, b, op.u.readconsole.count);
		n += op.u.readconsole.count;
		index = op.u.readconsole.index;
	}
	if (r == 0 && clear) {
		struct xen_sysctl op = { .cmd = XEN_SYSCTL_readconsole };

		op.u.readconsole.clear = 1;
		op.u.readconsole.count = piece;
		set_xen_guest_handle(op.u.readconsole.buffer, b);
		r = bh_hv_sysctl(h, &op);
	}
	bh_hv_release(h, mark);
	if (r == 0 && !text)
		text = calloc(1, 1);
	if (r < 0 || !text) {
		free(text);
		return r < 0 ? r : -ENOMEM;
	}
	text[n] = '\0';
	*ret = text;
	*ret_len = n;
	return 0;
}
