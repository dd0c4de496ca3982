/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images: bzImage header, ELF segments and Xen's ELF notes.
 *
 * Unpacking a distribution kernel costs more than all the rest of starting a
 * guest. The unpacked ELF file is therefore kept in a cache directory under a
 * name made of the original's device, inode, size and times, and mapped from
 * there the next time; any change of the original makes another name. Guests
 * that start together with a new kernel wait for the one that unpacks it.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xen/elfnote.h>

#include "bulkhead/image.h"

#define CACHE_MAX 8 /* kernels */

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

/* ---- notes ------------------------------------------------------------- */

static void note_text(char *to, size_t size, const uint8_t *desc, size_t len)
{
	size_t n = 0;

	while (n < len && n < size - 1 && desc[n] >= 0x20 && desc[n] < 0x7f)
		n++;
	memcpy(to, desc, n);
	to[n] = '\0';
}

static bool note_num(const uint8_t *desc, size_t len, uint64_t *ret)
{
	if (len == 8)
		*ret = le32(desc) | (uint64_t)le32(desc + 4) << 32;
	else if (len == 4)
		*ret = le32(desc);
	else
		return false;
	return true;
}

static void take_note(struct bh_kernel *k, uint32_t type, const uint8_t *d,
		      size_t len)
{
	uint64_t n = 0;
	bool num = note_num(d, len, &n);

	switch (type) {
	case XEN_ELFNOTE_ENTRY:
		k->has_entry = num;
		k->virt_entry = n;
		break;
	case XEN_ELFNOTE_HYPERCALL_PAGE:
		k->has_hypercall_page = num;
		k->hypercall_page = n;
		break;
	case XEN_ELFNOTE_VIRT_BASE:
		k->virt_base = n;
		break;
	case XEN_ELFNOTE_PADDR_OFFSET:
		k->paddr_offset = n;
		break;
	case XEN_ELFNOTE_INIT_P2M:
		k->has_init_p2m = num;
		k->init_p2m = n;
		break;
	case XEN_ELFNOTE_MOD_START_PFN:
		k->unmapped_initrd = num && n;
		break;
	case XEN_ELFNOTE_SUSPEND_CANCEL:
		k->suspend_cancel = num && n;
		break;
	case XEN_ELFNOTE_HV_START_LOW:
		k->hv_start_low = n;
		break;
	case XEN_ELFNOTE_L1_MFN_VALID:
		k->l1_mfn_valid = true;
		break;
	case XEN_ELFNOTE_GUEST_OS:
		note_text(k->guest_os, sizeof(k->guest_os), d, len);
		break;
	case XEN_ELFNOTE_GUEST_VERSION:
		note_text(k->guest_version, sizeof(k->guest_version), d, len);
		break;
	case XEN_ELFNOTE_XEN_VERSION:
		note_text(k->xen_version, sizeof(k->xen_version), d, len);
		break;
	case XEN_ELFNOTE_LOADER:
		note_text(k->loader, sizeof(k->loader), d, len);
		break;
	}
}

static void scan_notes(struct bh_kernel *k, const uint8_t *p, size_t len)
{
	while (len >= 12) {
		uint64_t namesz = le32(p), descsz = le32(p + 4);
		uint64_t na = (namesz + 3) & ~3ull, da = (descsz + 3) & ~3ull;
		uint32_t type = le32(p + 8);

		p += 12;
		len -= 12;
		if (na > len || da > len - na)
			return;
		if (namesz == 4 && !memcmp(p, "Xen", 4))
			take_note(k, type, p + na, (size_t)descsz);
		p += na + da;
		len -= (size_t)(na + da);
	}
}

/* ---- ELF --------------------------------------------------------------- */

static int add_segment(struct bh_kernel *k, const Elf64_Phdr *ph,
		       struct bh_err *e)
{
	struct bh_segment *s;

	if (ph->p_memsz == 0)
		return 0;
	if (ph->p_offset > k->elf_len ||
	    ph->p_filesz > k->elf_len - ph->p_offset)
		return bh_fail(e, -ENOEXEC,
			       "a segment reaches beyond the end of the file");
	if (ph->p_filesz > ph->p_memsz || ph->p_memsz > BH_KERNEL_MAX)
		return bh_fail(e, -ENOEXEC, "a segment of impossible size");
	if (k->n_seg == BH_KERNEL_SEGMENTS)
		return bh_fail(e, -ENOEXEC, "more than %d segments",
			       BH_KERNEL_SEGMENTS);
	s = &k->seg[k->n_seg++];
	s->paddr = ph->p_paddr;
	s->memsz = ph->p_memsz;
	s->filesz = ph->p_filesz;
	s->data = k->elf + ph->p_offset;
	return 0;
}

static int parse_segments(struct bh_kernel *k, const Elf64_Ehdr *eh,
			  struct bh_err *e)
{
	bool notes = false;

	if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum == 0 ||
	    eh->e_phoff > k->elf_len ||
	    (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr) >
		    k->elf_len - eh->e_phoff)
		return bh_fail(e, -ENOEXEC, "no program headers");
	for (unsigned int i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph;
		int r;

		memcpy(&ph, k->elf + eh->e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_LOAD) {
			r = add_segment(k, &ph, e);
			if (r < 0)
				return r;
		} else if (ph.p_type == PT_NOTE && ph.p_offset <= k->elf_len &&
			   ph.p_filesz <= k->elf_len - ph.p_offset) {
			scan_notes(k, k->elf + ph.p_offset,
				   (size_t)ph.p_filesz);
			notes = k->has_entry;
		}
	}
	if (notes || eh->e_shentsize != sizeof(Elf64_Shdr) ||
	    eh->e_shoff > k->elf_len ||
	    (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr) >
		    k->elf_len - eh->e_shoff)
		return 0;
	for (unsigned int i = 0; i < eh->e_shnum; i++) {
		Elf64_Shdr sh;

		memcpy(&sh, k->elf + eh->e_shoff + i * sizeof(sh), sizeof(sh));
		if (sh.sh_type == SHT_NOTE && sh.sh_offset <= k->elf_len &&
		    sh.sh_size <= k->elf_len - sh.sh_offset)
			scan_notes(k, k->elf + sh.sh_offset,
				   (size_t)sh.sh_size);
	}
	return 0;
}

static int check_kernel(struct bh_kernel *k, struct bh_err *e)
{
	uint64_t lo = UINT64_MAX, hi = 0;

	if (!k->has_entry)
		return bh_fail(e, -ENOEXEC,
			       "has no Xen entry note: it was built without "
			       "CONFIG_XEN_PV and cannot start as a PV guest");
	if (k->xen_version[0] && !streq(k->xen_version, "xen-3.0"))
		return bh_fail(e, -ENOEXEC, "is made for %s, not xen-3.0",
			       k->xen_version);
	if (!k->n_seg)
		return bh_fail(e, -ENOEXEC, "has nothing to load");
	for (unsigned int i = 0; i < k->n_seg; i++) {
		struct bh_segment *s = &k->seg[i];

		if (s->paddr < k->paddr_offset ||
		    s->paddr - k->paddr_offset > BH_KERNEL_MAX * 4ull)
			return bh_fail(e, -ENOEXEC,
				       "a segment at physical address %#" PRIx64
				       " is out of reach",
				       s->paddr);
		s->paddr -= k->paddr_offset;
		lo = MIN(lo, s->paddr);
		hi = MAX(hi, s->paddr + s->memsz);
	}
	k->p_start = lo;
	k->p_end = hi;
	if (hi - lo > BH_KERNEL_MAX)
		return bh_fail(e, -ENOEXEC, "is larger than %u MiB",
			       BH_KERNEL_MAX >> 20);
	/* Everything else is computed from the base, so it must not wrap. */
	if ((k->virt_base & 0x1fffff) ||
	    k->virt_base > UINT64_MAX - (2ull << 30) + 1 ||
	    k->virt_entry < k->virt_base + lo ||
	    k->virt_entry >= k->virt_base + hi)
		return bh_fail(e, -ENOEXEC,
			       "has an entry point outside itself");
	if (k->has_hypercall_page &&
	    (hi < 4096 || k->hypercall_page < k->virt_base + lo ||
	     k->hypercall_page - k->virt_base > hi - 4096 ||
	     (k->hypercall_page & 0xfff)))
		return bh_fail(e, -ENOEXEC,
			       "has a hypercall page outside itself");
	if (k->has_init_p2m &&
	    ((k->init_p2m & 0x7fffffffff) || k->init_p2m >= 1ull << 47))
		return bh_fail(e, -ENOEXEC,
			       "wants its p2m list at %#" PRIx64
			       ", expected a multiple of 512 GiB",
			       k->init_p2m);
	return 0;
}

static int parse_elf(struct bh_kernel *k, struct bh_err *e)
{
	Elf64_Ehdr eh;
	int r;

	if (k->elf_len < sizeof(eh) || memcmp(k->elf, ELFMAG, SELFMAG) != 0)
		return bh_fail(e, -ENOEXEC,
			       "is neither a bzImage nor an ELF file");
	memcpy(&eh, k->elf, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_machine != EM_X86_64)
		return bh_fail(e, -ENOEXEC,
			       "is not a 64-bit x86 kernel; 32-bit guests are "
			       "not supported");
	r = parse_segments(k, &eh, e);
	return r < 0 ? r : check_kernel(k, e);
}

/* ---- bzImage ----------------------------------------------------------- */

/* Finds the compressed payload; 0 and *ret_len 0 if it is no bzImage. */
static int find_payload(const uint8_t *d, size_t len, const uint8_t **ret,
			size_t *ret_len, struct bh_err *e)
{
	uint64_t off, sects;

	*ret_len = 0;
	if (len < 0x250 || memcmp(d + 0x202, "HdrS", 4) != 0)
		return 0;
	if ((d[0x206] | d[0x207] << 8) < 0x208)
		return bh_fail(e, -ENOEXEC,
			       "is a bzImage older than protocol 2.08, whose "
			       "kernel cannot be found");
	sects = d[0x1f1] ? d[0x1f1] : 4;
	off = (sects + 1) * 512 + le32(d + 0x248);
	if (off >= len || le32(d + 0x24c) > len - off || !le32(d + 0x24c))
		return bh_fail(e, -ENOEXEC, "is a cut-off bzImage");
	*ret = d + off;
	*ret_len = le32(d + 0x24c);
	return 0;
}

int bh_kernel_parse(struct bh_kernel *k, const uint8_t *data, size_t len,
		    struct bh_err *e)
{
	const uint8_t *payload = data;
	size_t n;
	int r;

	r = find_payload(data, len, &payload, &n, e);
	if (r < 0)
		return r;
	if (n == 0) {
		payload = data;
		n = len;
	}
	if (bh_is_compressed(payload, n)) {
		uint8_t *buf;
		size_t buf_len;

		r = bh_decompress(payload, n, BH_KERNEL_MAX, &buf, &buf_len, e);
		if (r < 0)
			return r;
		k->owned = buf;
		k->elf = buf;
		k->elf_len = buf_len;
	} else {
		k->elf = payload;
		k->elf_len = n;
	}
	return parse_elf(k, e);
}

/* ---- files ------------------------------------------------------------- */

static int map_file(const char *path, void **ret, size_t *ret_len,
		    struct stat *st)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	void *p;

	if (fd < 0 || fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	if (st->st_size == 0)
		return -ENODATA;
	if (st->st_size > BH_KERNEL_MAX)
		return -EFBIG;
	p = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	*ret_len = (size_t)st->st_size;
	return 0;
}

static char *cache_name(const char *dir, const struct stat *st)
{
	return bh_asprintf("%s/%jx-%jx-%jx-%jx.%lx-%jx.%lx.elf", dir,
			   (uintmax_t)st->st_dev, (uintmax_t)st->st_ino,
			   (uintmax_t)st->st_size, (uintmax_t)st->st_mtime,
			   st->st_mtim.tv_nsec, (uintmax_t)st->st_ctime,
			   st->st_ctim.tv_nsec);
}

/* Throws the longest unused away when there are many. */
static void trim_cache(const char *dir)
{
	for (;;) {
		_cleanup_free_ char *oldest = NULL;
		time_t when = 0;
		unsigned int n = 0;
		struct dirent *de;
		DIR *d = opendir(dir);

		while (d && (de = readdir(d)) != NULL) {
			struct stat st;

			if (de->d_name[0] == '.' ||
			    fstatat(dirfd(d), de->d_name, &st,
				    AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			n++;
			if (oldest && MAX(st.st_atime, st.st_mtime) >= when)
				continue;
			when = MAX(st.st_atime, st.st_mtime);
			free(oldest);
			oldest = bh_asprintf("%s/%s", dir, de->d_name);
		}
		if (d)
			closedir(d);
		if (n < CACHE_MAX || !oldest || unlink(oldest) < 0)
			return;
	}
}

static void unmap(struct bh_kernel *k)
{
	if (k->mapped)
		munmap(k->mapped, k->mapped_len);
	k->mapped = NULL;
}

static int load_cached(struct bh_kernel *k, const char *name)
{
	struct bh_kernel c = {};
	struct stat st;
	int r = map_file(name, &c.mapped, &c.mapped_len, &st);

	if (r < 0)
		return r;
	/* only what root put there */
	r = st.st_uid != 0 || (st.st_mode & 022)
		    ? -EPERM
		    : bh_kernel_parse(&c, c.mapped, c.mapped_len, NULL);
	if (r < 0 || c.owned) {
		free(c.owned);
		unmap(&c);
		return r < 0 ? r : -EINVAL;
	}
	*k = c;
	return 0;
}

static int load_file(struct bh_kernel *k, const char *path, struct bh_err *e)
{
	struct bh_err sub = {};
	struct stat st;
	int r = map_file(path, &k->mapped, &k->mapped_len, &st);

	if (r < 0)
		return bh_fail(e, r, "kernel %s: %s", path,
			       r == -EFBIG     ? "far too large"
			       : r == -ENODATA ? "the file is empty"
			       : r == -EINVAL  ? "not a regular file"
					       : strerror(-r));
	r = bh_kernel_parse(k, k->mapped, k->mapped_len, &sub);
	if (r < 0)
		return bh_fail(e, r, "kernel %s: %s", path,
			       bh_err_text(&sub, r));
	return 0;
}

/* The directory is root's alone, so nobody else can hold its lock. Without it
 * the work is only done twice. */
static int lock_cache(const char *dir)
{
	int fd;

	if (bh_mkdir_p(dir, 0700) < 0)
		return -1;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	return fd;
}

int bh_kernel_load(const char *path, const char *cache_dir,
		   struct bh_kernel **ret, struct bh_err *e)
{
	_cleanup_(bh_kernel_free_cleanup) struct bh_kernel *k = NULL;
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int lock = -1;
	struct stat st;
	int r;

	k = calloc(1, sizeof(*k));
	if (!k)
		return bh_fail(e, -ENOMEM, "out of memory");
	if (cache_dir && stat(path, &st) == 0)
		name = cache_name(cache_dir, &st);
	if (name) {
		r = load_cached(k, name);
		if (r < 0) {
			lock = lock_cache(cache_dir);
			r = load_cached(k, name);
		}
		if (r == 0) {
			*ret = TAKE_PTR(k);
			return 0;
		}
	}
	r = load_file(k, path, e);
	if (r < 0)
		return r;
	if (k->owned && lock >= 0) {
		trim_cache(cache_dir);
		/* failing that, the next guest does it */
		(void)!bh_write_file(name, k->elf, k->elf_len, 0400);
	}
	*ret = TAKE_PTR(k);
	return 0;
}

void bh_kernel_free(struct bh_kernel *k)
{
	if (!k)
		return;
	unmap(k);
	free(k->owned);
	free(k);
}
