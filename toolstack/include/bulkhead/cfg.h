/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest configuration: the syntax of xl.cfg (and of the xm files before it),
 * and what it means.
 *
 * Two layers. bh_cfg_doc is the text as keys and values with their line
 * numbers; it knows nothing of guests. bh_guest_cfg is the checked meaning:
 * whoever has one need not look at the text again. Every rejection names file,
 * line, what is wrong and what was expected.
 */
#pragma once

#include "bulkhead/err.h"

/* ---- syntax ------------------------------------------------------------ */

enum bh_cfg_type {
	BH_CFG_STRING,
	BH_CFG_NUMBER,
	BH_CFG_LIST
};

struct bh_cfg_value {
	enum bh_cfg_type type;
	unsigned int line;
	char *str; /* strings, and the spelling of numbers */
	int64_t num;
	struct bh_cfg_value *items; /* lists */
	size_t n_items, a_items;
};

struct bh_cfg_entry {
	char *key;
	unsigned int line;
	bool used;
	struct bh_cfg_value value;
};

struct bh_cfg_doc {
	char *path;
	struct bh_cfg_entry *entries;
	size_t n_entries, a_entries;
};

#define BH_CFG_MAX_BYTES (256u << 10)

/* Parses text; path is only used in messages. */
int bh_cfg_doc_parse(const char *path, const char *text, size_t len,
		     struct bh_cfg_doc **ret, struct bh_err *e);
void bh_cfg_doc_free(struct bh_cfg_doc *d);
struct bh_cfg_value *bh_cfg_doc_find(struct bh_cfg_doc *d, const char *key);

/* ---- meaning ----------------------------------------------------------- */

enum bh_action {
	BH_ACT_DESTROY,
	BH_ACT_RESTART,
	BH_ACT_PRESERVE,
	BH_ACT_COREDUMP_DESTROY,
	BH_ACT_COREDUMP_RESTART,
};
extern const char *const bh_action_names[];

#define BH_NAME_MAX 64
#define BH_VDEV_MAX 32

struct bh_disk {
	char *target;           /* absolute path */
	char vdev[BH_VDEV_MAX]; /* as configured: xvda1, sda1, hdb */
	uint32_t devid;
	bool readonly;
	bool force_share; /* "w!" */
	bool is_file;     /* "file:" prefix; else found out by stat */
	bool discard;
};

struct bh_vif {
	uint8_t mac[6];
	bool mac_given;
	char bridge[16]; /* "" = the host's default bridge */
	char ifname[16]; /* "" = vifDOMID.N */
	char ip[128];
	uint64_t rate_bytes; /* per interval, 0 = unlimited */
	uint32_t rate_usecs;
	uint32_t mtu; /* 0 = the bridge's */
	bool csum_off;
};

#define BH_CPUMAP_BYTES 128

struct bh_cpumap {
	bool any; /* no restriction */
	uint8_t bits[BH_CPUMAP_BYTES];
};

struct bh_guest_cfg {
	char *path;
	char *name;
	uint8_t uuid[16];
	bool uuid_given;
	uint64_t memory_kib, maxmem_kib;
	uint32_t vcpus, maxvcpus;
	char *kernel, *ramdisk, *cmdline;
	char *bootloader; /* NULL or "bootread" */
	enum bh_action on_poweroff, on_reboot, on_crash, on_watchdog;
	struct bh_disk *disks;
	size_t n_disks, a_disks;
	struct bh_vif *vifs;
	size_t n_vifs, a_vifs;
	struct bh_cpumap *pin; /* NULL, one for all, or one for each vCPU */
	size_t n_pin;
	struct bh_cpumap pin_soft;
	uint32_t weight, cap; /* weight 0 = the scheduler's default */
	int32_t max_grant_frames, max_maptrack_frames, max_evtchn;
	int32_t rtc_offset;
	char **after; /* guests to be ready before this one starts */
	size_t n_after, a_after;
	uint32_t start_timeout, stop_timeout, after_timeout; /* seconds */
	bool notify_ready; /* tell systemd only at the ready mark */
};

/*
 * Reads and checks a guest's configuration. default_name is used if the file
 * has no name= (NULL: it must have one). Warnings, one a line, are given to
 * warn if not NULL.
 */
int bh_guest_cfg_parse(const char *path, const char *text, size_t len,
		       const char *default_name,
		       void (*warn)(void *arg, const char *text), void *arg,
		       struct bh_guest_cfg **ret, struct bh_err *e);
int bh_guest_cfg_load(const char *path, const char *default_name,
		      void (*warn)(void *arg, const char *text), void *arg,
		      struct bh_guest_cfg **ret, struct bh_err *e);
void bh_guest_cfg_free(struct bh_guest_cfg *c);
BH_DEFINE_CLEANUP(struct bh_guest_cfg *, bh_guest_cfg_free);

/* Pieces, also used by bhctl's block-attach, network-attach and vcpu-pin. */
bool bh_name_valid(const char *name);
int bh_disk_parse(const char *spec, struct bh_disk *ret, struct bh_err *e);
void bh_disk_done(struct bh_disk *d);
int bh_vif_parse(const char *spec, struct bh_vif *ret, struct bh_err *e);
void bh_vif_default_mac(const char *guest, unsigned int idx, uint8_t mac[6]);
int bh_vdev_parse(const char *vdev, uint32_t *ret_devid);
int bh_vdev_format(uint32_t devid, char *buf, size_t size);
int bh_cpumap_parse(const char *spec, struct bh_cpumap *ret);
int bh_cpumap_format(const struct bh_cpumap *m, char *buf, size_t size);
int bh_uuid_parse(const char *s, uint8_t ret[16]);
void bh_uuid_format(const uint8_t u[16], char buf[37]);
int bh_action_parse(const char *s, bool crash, enum bh_action *ret);
