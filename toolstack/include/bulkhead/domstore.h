/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest in the store: its own nodes, its devices, and waiting for them.
 *
 * The store is the only record of a guest's devices. Nothing else remembers
 * them, so whoever destroys a guest, even after a crash of everything, finds
 * all of them there.
 */
#pragma once

#include "bulkhead/builder.h"
#include "bulkhead/xs.h"

/* Nodes of a new domain, devices not included. */
int bh_store_domain_add(struct bh_xs *xs, const struct bh_guest_cfg *c,
			const struct bh_domain *d, struct bh_err *e);
/* Devices, nodes, introduction: everything the domain has in the store. */
int bh_store_domain_rm(struct bh_xs *xs, uint32_t domid);

/* The domain's name in the store, or NULL. */
char *bh_store_domain_name(struct bh_xs *xs, uint32_t domid);
/* Finds a domain by name or number; -ESRCH. */
int bh_store_find(struct bh_xs *xs, struct bh_hv *h, const char *name,
		  uint32_t *ret_domid);

/* ---- devices ----------------------------------------------------------- */

enum bh_devkind {
	BH_DEV_VBD,
	BH_DEV_VIF
};

extern const char *const bh_devkind_names[];

int bh_dev_backend(enum bh_devkind k, uint32_t domid, uint32_t devid,
		   char buf[96]);
int bh_dev_frontend(enum bh_devkind k, uint32_t domid, uint32_t devid,
		    char buf[96]);
/* The device's numbers, in a malloc'ed array. */
int bh_dev_list(struct bh_xs *xs, enum bh_devkind k, uint32_t domid,
		uint32_t **ret, size_t *ret_n);

/*
 * Adding writes the nodes; waiting returns when the kernel's backend is ready
 * for the guest (for interfaces: when they are on their bridge).
 */
int bh_vbd_add(struct bh_xs *xs, uint32_t domid, const struct bh_disk *disk,
	       int *ret_keep_fd, struct bh_err *e);
int bh_vbd_wait(struct bh_xs *xs, uint32_t domid, const struct bh_disk *disk,
		struct bh_err *e);
int bh_vif_add(struct bh_xs *xs, uint32_t domid, uint32_t devid,
	       const struct bh_vif *vif, struct bh_err *e);
int bh_vif_wait(struct bh_xs *xs, uint32_t domid, uint32_t devid,
		const struct bh_vif *vif, const char *guest, struct bh_err *e);

/* Asks the guest to let go and removes; force: does not ask. */
int bh_dev_remove(struct bh_xs *xs, enum bh_devkind k, uint32_t domid,
		  uint32_t devid, bool force, unsigned int timeout_s,
		  struct bh_err *e);
/* All devices of a domain that is dead or about to be. */
void bh_dev_remove_all(struct bh_xs *xs, uint32_t domid);

/*
 * Waits until the node at path holds one of the states in the mask (bit n for
 * XenbusState n). A missing node counts as state 6, Closed.
 */
int bh_store_wait_state(struct bh_xs *xs, const char *path, unsigned int mask,
			unsigned int timeout_s, unsigned int *ret_state);

/* ---- the host's network ------------------------------------------------ */

struct bh_link {
	const char *ifname;
	const char *rename;   /* or NULL */
	const char *bridge;   /* or NULL */
	const char *alias;    /* or NULL */
	uint32_t mtu;         /* or 0 */
	bool set_backend_mac; /* fe:ff:ff:ff:ff:ff, so the bridge keeps its own */
	bool up;
};
int bh_link_configure(const struct bh_link *l, struct bh_err *e);
int bh_link_checksum_off(const char *ifname);
/* The bridge used where the configuration names none. */
int bh_default_bridge(char buf[16]);
