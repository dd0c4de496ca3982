# SPDX-License-Identifier: GPL-2.0-or-later
# Guests: configuration, hypercalls, kernel images, building, devices, saving.
lib-srcs += lib/err.c lib/cfg_syntax.c lib/cfg_device.c lib/cfg_types.c lib/cfg.c
lib-srcs += lib/privcmd.c lib/memory.c lib/domctl.c lib/sysctl.c
lib-srcs += lib/decompress.c lib/image.c
lib-srcs += lib/layout.c lib/builder.c
lib-srcs += lib/domstore.c lib/device.c lib/vbd.c lib/vif.c lib/netlink.c
lib-srcs += lib/p2m.c lib/save_file.c lib/save.c lib/restore.c
LIBGUEST := -llzma -lzstd -lz -llz4 -lbz2 -lmnl
