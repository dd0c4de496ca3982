/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a crashed guest leaves behind: a report of its registers in the
 * journal, and on request a core file of its memory.
 *
 * The core is an ELF file with one segment whose physical addresses are the
 * guest's own, sparse where it has no memory; crash(8) and gdb read it.
 */
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <time.h>

#include "bulkhead/save.h"
#include "guest/guest.h"

static void report_vcpu(struct guest *g, uint32_t v,
			const vcpu_guest_context_t *c)
{
	const struct cpu_user_regs *r = &c->user_regs;

	bh_log(BH_ERR,
	       "guest %s vCPU %u: rip %04x:%016" PRIx64 " rsp %04x:%016" PRIx64
	       " rflags %08" PRIx64 " cr3 %" PRIx64 " cr2 %016" PRIx64,
	       g->name, v, r->cs, r->rip, r->ss, r->rsp, r->rflags,
	       (uint64_t)c->ctrlreg[3], (uint64_t)c->ctrlreg[2]);
	bh_log(BH_ERR,
	       "guest %s vCPU %u: rax %016" PRIx64 " rbx %016" PRIx64
	       " rcx %016" PRIx64 " rdx %016" PRIx64 " rsi %016" PRIx64
	       " rdi %016" PRIx64,
	       g->name, v, r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi);
	bh_log(BH_ERR,
	       "guest %s vCPU %u: rbp %016" PRIx64 " r8 %016" PRIx64
	       " r9 %016" PRIx64 " r10 %016" PRIx64 " r11 %016" PRIx64
	       " r12 %016" PRIx64 " r13 %016" PRIx64 " r14 %016" PRIx64
	       " r15 %016" PRIx64,
	       g->name, v, r->rbp, r->r8, r->r9, r->r10, r->r11, r->r12, r->r13,
	       r->r14, r->r15);
}

void guest_report_crash(struct guest *g)
{
	bh_log(BH_ERR,
	       "guest %s (domain %u) crashed %.1f s after its start; its last "
	       "console lines are above",
	       g->name, g->dom.domid,
	       (double)(bh_now_us() - g->started_us) / 1e6);
	for (uint32_t v = 0; v < g->cfg->maxvcpus; v++) {
		struct xen_domctl_getvcpuinfo i;
		vcpu_guest_context_t c;

		if (bh_hv_vcpu_info(g->hv, g->dom.domid, v, &i) < 0 ||
		    !i.online ||
		    bh_hv_vcpu_get_context(g->hv, g->dom.domid, v, &c) < 0)
			continue;
		report_vcpu(g, v, &c);
	}
}

static void fill_status(struct elf_prstatus *s, const struct cpu_user_regs *r,
			uint32_t v)
{
	const unsigned long long regs[] = {
		r->r15, r->r14, r->r13, r->r12, r->rbp,    r->rbx, r->r11,
		r->r10, r->r9,  r->r8,  r->rax, r->rcx,    r->rdx, r->rsi,
		r->rdi, r->rax, r->rip, r->cs,  r->rflags, r->rsp, r->ss,
		0,      0,      r->ds,  r->es,  r->fs,     r->gs,
	};

	memset(s, 0, sizeof(*s));
	s->pr_pid = (int)v + 1;
	memcpy(&s->pr_reg, regs, MIN(sizeof(s->pr_reg), sizeof(regs)));
}

static int write_notes(struct guest *g, int fd, uint32_t n)
{
	struct {
		Elf64_Nhdr h;
		char name[8];
		struct elf_prstatus s;
	} note = { .h = { 5, sizeof(struct elf_prstatus), NT_PRSTATUS },
		   .name = "CORE" };

	for (uint32_t v = 0; v < n; v++) {
		vcpu_guest_context_t c = {};
		int r;

		(void)bh_hv_vcpu_get_context(g->hv, g->dom.domid, v, &c);
		fill_status(&note.s, &c.user_regs, v);
		r = bh_write_all(fd, &note, sizeof(note));
		if (r < 0)
			return r;
	}
	return (int)sizeof(note);
}

static int write_head(struct guest *g, int fd, uint64_t pfns, off_t *ret_data)
{
	const uint32_t n = g->cfg->maxvcpus;
	const size_t note =
		sizeof(Elf64_Nhdr) + 8 + sizeof(struct elf_prstatus);
	Elf64_Ehdr eh = { .e_type = ET_CORE,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_ehsize = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2 };
	Elf64_Phdr ph[2] = {};
	int r;

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	ph[0].p_type = PT_NOTE;
	ph[0].p_offset = sizeof(eh) + sizeof(ph);
	ph[0].p_filesz = note * n;
	ph[1].p_type = PT_LOAD;
	ph[1].p_flags = PF_R | PF_W | PF_X;
	ph[1].p_offset = (ph[0].p_offset + ph[0].p_filesz + 4095) & ~4095ull;
	ph[1].p_filesz = ph[1].p_memsz = pfns * BH_PAGE_SIZE;
	ph[1].p_align = BH_PAGE_SIZE;
	r = bh_write_all(fd, &eh, sizeof(eh));
	if (r >= 0)
		r = bh_write_all(fd, ph, sizeof(ph));
	if (r >= 0)
		r = write_notes(g, fd, n);
	*ret_data = (off_t)ph[1].p_offset;
	return r;
}

static int write_memory(struct guest *g, int fd, const struct bh_p2m *p,
			off_t base)
{
	for (uint64_t i = 0; i < p->n; i += 1024) {
		size_t n = (size_t)MIN(p->n - i, (uint64_t)1024);
		int err[1024] = {};
		void *m;
		int r = bh_hv_map(g->hv, g->dom.domid, PROT_READ, p->mfn + i, n,
				  err, &m);

		if (r < 0)
			return r;
		for (size_t k = 0; k < n; k++) {
			static const uint8_t zero[BH_PAGE_SIZE];

			if (err[k] || p->mfn[i + k] == ~0ull ||
			    !memcmp((uint8_t *)m + k * BH_PAGE_SIZE, zero,
				    BH_PAGE_SIZE))
				continue; /* stays a hole */
			if (pwrite(fd, (uint8_t *)m + k * BH_PAGE_SIZE,
				   BH_PAGE_SIZE,
				   base + (off_t)((i + k) * BH_PAGE_SIZE)) !=
			    (ssize_t)BH_PAGE_SIZE) {
				r = -errno;
				bh_hv_unmap(m, n);
				return r;
			}
		}
		bh_hv_unmap(m, n);
	}
	return ftruncate(fd, base + (off_t)(p->n * BH_PAGE_SIZE)) < 0 ? -errno
								      : 0;
}

int guest_dump_core(struct guest *g, struct bh_err *e)
{
	_cleanup_close_ int fd = -1;
	struct bh_p2m p = {};
	char path[256];
	time_t now = time(NULL);
	struct tm tm;
	off_t data = 0;
	int r;

	r = bh_mkdir_p(DUMP_DIR, 0700);
	if (r < 0)
		return bh_fail(e, r, DUMP_DIR ": %s", strerror(-r));
	localtime_r(&now, &tm);
	r = bh_snprintf(path, sizeof(path),
			DUMP_DIR "/%s-%04d%02d%02d-%02d%02d%02d.core", g->name,
			tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (r < 0)
		return bh_fail(e, r, "name too long");
	r = bh_p2m_read(g->hv, g->dom.domid, g->cfg->maxmem_kib, &p, e);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : write_head(g, fd, p.n, &data);
	if (r >= 0)
		r = write_memory(g, fd, &p, data);
	bh_p2m_done(&p);
	if (r < 0) {
		(void)unlink(path);
		return bh_fail(e, r, "%s: %s", path, strerror(-r));
	}
	bh_log(BH_NOTICE, "guest %s: core dump in %s", g->name, path);
	return 0;
}
