/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving a PV domain to a file and restoring it, maybe elsewhere.
 *
 * The file: a header, then records, the last of them END. Every record
 * carries checksums of itself and of its content, and END the number of
 * records, so that a file cut off or damaged anywhere is recognised before a
 * domain is made. Page tables are stored with guest frame numbers in place of
 * machine frames, which makes the file independent of where the memory was.
 * All numbers are little endian. bulkhead-save(5) describes the details.
 */
#pragma once

#include <assert.h>

#include "bulkhead/builder.h"
#include "bulkhead/xs.h"

#define BH_SAVE_MAGIC   "BHSAVE1\n"
#define BH_SAVE_VERSION 1u

struct bh_save_header {
	char magic[8];
	uint32_t version;
	uint32_t page_size;
	uint64_t reserved[5];
	uint32_t pad;
	uint32_t crc; /* of everything before */
};

enum bh_save_type {
	BH_SAVE_CONFIG = 1, /* the text of the configuration */
	BH_SAVE_INFO,       /* struct bh_save_info */
	BH_SAVE_P2M,   /* uint64_t[]: guest frames that hold the p2m list */
	BH_SAVE_PAGES, /* uint64_t n, n words, then 4 KiB for each with data */
	BH_SAVE_SHARED_INFO, /* one page */
	BH_SAVE_VCPU,        /* struct bh_save_vcpu, then its extended state */
	BH_SAVE_END,         /* uint64_t: number of records before it */
};

struct bh_save_record {
	uint32_t type;
	uint32_t crc; /* of the content */
	uint64_t len;
	uint32_t pad;
	uint32_t head_crc; /* of everything before in this record */
};

struct bh_save_info {
	char name[64];
	uint8_t uuid[16];
	uint64_t nr_pfns;  /* length of the p2m list */
	uint64_t nr_pages; /* that have memory */
	uint64_t p2m_cr3_pfn, p2m_vaddr;
	uint64_t frame_list_list_pfn; /* old style; ~0 = none */
	uint64_t start_info_pfn;
	uint32_t max_vcpus;
	uint32_t tsc_mode, tsc_khz, tsc_incarnation;
	uint64_t tsc_elapsed;
	uint64_t saved_at; /* seconds since 1970 */
	uint64_t reserved[8];
};

/* One word for each page: frame number, type in the top four bits. */
#define BH_SAVE_PFN_MASK   ((1ull << 52) - 1)
#define BH_SAVE_TYPE_SHIFT 60
#define BH_SAVE_ZERO       (1ull << 52) /* a page of zeroes, no data follow */
#define BH_SAVE_BATCH      1024u

struct bh_save_vcpu {
	uint32_t id;
	uint32_t xstate_len;
	uint64_t xfeatures;
	uint32_t nr_msrs;
	uint32_t ext_valid;
	uint8_t ext[128]; /* xen_domctl_ext_vcpucontext, from the id on */
	vcpu_guest_context_t ctxt;
	/* xstate_len bytes, nr_msrs * 16 bytes */
};

static_assert(sizeof(struct bh_save_header) == 64, "file format");
static_assert(sizeof(struct bh_save_record) == 24, "file format");
static_assert(sizeof(struct bh_save_info) == 224, "file format");

/* ---- reading (pure: no hypervisor) ------------------------------------- */

struct bh_save_file {
	const uint8_t *data; /* mapped */
	size_t len;
	void *map;
	const struct bh_save_info *info;
	const char *config;
	size_t config_len;
	const uint64_t *p2m_frames;
	size_t n_p2m_frames;
	const uint8_t *shared_info;
	unsigned int n_vcpus;
};

/* Checks everything: structure, checksums, every number. */
int bh_save_parse(struct bh_save_file *f, const uint8_t *data, size_t len,
		  struct bh_err *e);
int bh_save_open(const char *path, struct bh_save_file *ret, struct bh_err *e);
void bh_save_close(struct bh_save_file *f);
/* Iterates over records: pos starts at 0; false at the end. */
bool bh_save_next(const struct bh_save_file *f, size_t *pos, uint32_t *ret_type,
		  const uint8_t **ret_data, size_t *ret_len);

/* ---- doing ------------------------------------------------------------- */

/*
 * Suspends the domain, writes it to path (complete or not at all) and leaves
 * it suspended for the caller to destroy. On failure it runs on.
 */
int bh_save(struct bh_hv *h, struct bh_xs *xs, const struct bh_domain *d,
	    const struct bh_guest_cfg *c, const char *config_path,
	    const char *path, struct bh_err *e);
/* Lets a domain run on whose saving was begun and left. */
void bh_save_undo(struct bh_hv *h, struct bh_xs *xs, uint32_t domid);
/* Fills a new domain from the file. Set its nodes up and unpause it. */
int bh_restore(struct bh_hv *h, const char *path, const struct bh_guest_cfg *c,
	       struct bh_domain *d, struct bh_err *e);

/* ---- a running domain's p2m list --------------------------------------- */

struct bh_p2m {
	uint64_t n;       /* entries */
	xen_pfn_t *mfn;   /* ~0 = no memory */
	uint64_t *frames; /* machine frames of the list itself */
	size_t n_frames;
	uint64_t *pfn_of; /* the reverse, by machine frame; ~0 = not ours */
	uint64_t max_mfn;
	uint64_t cr3_mfn, vaddr, fll_mfn;
};

/* maxmem_kib: what it may have had at most; a list far longer is refused. */
int bh_p2m_read(struct bh_hv *h, uint32_t domid, uint64_t maxmem_kib,
		struct bh_p2m *ret, struct bh_err *e);
void bh_p2m_done(struct bh_p2m *p);
/* Guest frame of a machine frame, ~0 if it is not the domain's. */
uint64_t bh_p2m_pfn(const struct bh_p2m *p, uint64_t mfn);
