/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UEFI: the facts dom0 asks for (configuration tables, vendor, memory
 * descriptors). GRUB has left boot services; the system table and the
 * configuration tables lie in memory that stays. Runtime services are called
 * in control/efi_runtime.c. (UEFI Specification 2.9, chapters 4 and 7.)
 */
#include <bh/boot.h>
#include <bh/efi.h>
#include <bh/errno.h>
#include <bh/guest_access.h>
#include <bh/lib.h>
#include <bh/mm.h>
#include <public/platform.h>

struct efi_memdesc {
	u32 type, pad;
	u64 phys, virt, pages, attr;
};

static struct {
	bool present;
	u32 revision, fw_revision;
	u64 config_table, runtime;
	u32 nr_config;
	u16 vendor[64];
} efi;

static u64 rd64(const char *p, unsigned int off)
{
	u64 v;

	memcpy(&v, p + off, 8);
	return v;
}
static u32 rd32(const char *p, unsigned int off)
{
	u32 v;

	memcpy(&v, p + off, 4);
	return v;
}

void efi_init(const struct boot_info *bi)
{
	const char *st = boot_map(bi->efi_system_table, 120);
	const u16 *name;

	if (!bi->efi || !st || memcmp(st, "IBI SYST", 8))
		return;
	efi.revision = rd32(st, 8);
	efi.fw_revision = rd32(st, 32);
	efi.runtime = rd64(st, 88);
	efi.nr_config = rd64(st, 104);
	efi.config_table = rd64(st, 112);
	name = boot_map(rd64(st, 24), sizeof(efi.vendor));
	for (unsigned int i = 0; name && i < ARRAY_SIZE(efi.vendor) - 1; i++) {
		efi.vendor[i] = name[i];
		if (!name[i])
			break;
	}
	efi.present = true;
	printk(LVL_INFO "EFI %u.%02u, %u configuration tables at %#lx\n",
	       efi.revision >> 16, efi.revision & 0xffff, efi.nr_config,
	       efi.config_table);
}

static int mem_info(union xenpf_efi_info *info)
{
	const struct boot_info *bi = &boot_info;
	const char *map =
		(const char *)bi->efi_memmap - image_phys + IMAGE_START;

	if (bi->efi_memdesc_size < sizeof(struct efi_memdesc))
		return -ENOSYS;
	for (u32 off = 0; off + bi->efi_memdesc_size <= bi->efi_memmap_size;
	     off += bi->efi_memdesc_size) {
		struct efi_memdesc d;
		u64 len;

		memcpy(&d, map + off, sizeof(d));
		len = d.pages << PAGE_SHIFT;
		if (info->mem.addr < d.phys || info->mem.addr - d.phys >= len)
			continue;
		info->mem.type = d.type;
		info->mem.attr = d.attr;
		if (info->mem.addr + info->mem.size < info->mem.addr ||
		    info->mem.addr + info->mem.size > d.phys + len)
			info->mem.size = d.phys + len - info->mem.addr;
		return 0;
	}
	return -ESRCH;
}

static int vendor_info(union xenpf_efi_info *info)
{
	u32 n = 0;

	info->vendor.revision = efi.fw_revision;
	while (efi.vendor[n])
		n++;
	n = min((n + 1) * 2, info->vendor.bufsz);
	if (n && copy_to_guest(GPTR(info->vendor.name.p), efi.vendor, n))
		return -EFAULT;
	return 0;
}

int efi_firmware_info(struct xenpf_firmware_info *fi)
{
	union xenpf_efi_info *info = &fi->u.efi_info;

	if (!efi.present)
		return -ENOSYS;
	switch (fi->index) {
	case XEN_FW_EFI_VERSION:
		info->version = efi.revision;
		return 0;
	case XEN_FW_EFI_CONFIG_TABLE:
		info->cfg.addr = efi.config_table;
		info->cfg.nent = efi.nr_config;
		return 0;
	case XEN_FW_EFI_VENDOR:
		return vendor_info(info);
	case XEN_FW_EFI_MEM_INFO:
		return mem_info(info);
	case XEN_FW_EFI_RT_VERSION:
		info->version = efi.revision;
		return 0;
	case XEN_FW_EFI_PCI_ROM:
	case XEN_FW_EFI_APPLE_PROPERTIES:
		return -ENODEV;
	default:
		return -EINVAL;
	}
}

u64 efi_runtime_services(void)
{
	return efi.present ? efi.runtime : 0;
}
