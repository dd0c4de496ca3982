/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/xen/gntdev: see bulkhead/gnttab.h. The device hands out an mmap offset
 * per reference; the mapping lives until munmap() and the offset must be given
 * back separately, else the kernel keeps the record until the fd closes.
 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/xen.h>

#include <xen/grant_table.h>

#include <xen/gntdev.h>

#include "bulkhead/gnttab.h"

#define PAGE 4096

int bh_gnt_open(void)
{
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void gnt_forget(int fd, uint64_t index)
{
	struct ioctl_gntdev_unmap_grant_ref unmap = {
		.index = index,
		.count = 1,
	};

	(void)ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &unmap);
}

int bh_gnt_map(int fd, uint32_t domid, uint32_t ref, void **ret)
{
	struct ioctl_gntdev_map_grant_ref map = {
		.count = 1,
		.refs = { { .domid = domid, .ref = ref } },
	};
	void *page;

	if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map) < 0)
		return -errno;

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)map.index);
	if (page == MAP_FAILED) {
		int err = -errno;

		gnt_forget(fd, map.index);
		return err;
	}
	*ret = page;
	return 0;
}

void bh_gnt_unmap(int fd, void *page)
{
	struct ioctl_gntdev_get_offset_for_vaddr off = {
		.vaddr = (uint64_t)(uintptr_t)page,
	};
	bool known;

	if (!page)
		return;
	known = ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &off) == 0;
	munmap(page, PAGE);
	if (known)
		gnt_forget(fd, off.offset);
}
