# SPDX-License-Identifier: GPL-2.0-or-later
# Guests: configuration, hypercalls, kernel images, building, devices, saving.
lib-srcs += lib/err.c lib/cfg_syntax.c lib/cfg_device.c lib/cfg_types.c lib/cfg.c lib/cfg_guest.c
lib-srcs += lib/privcmd.c lib/memory.c lib/domctl.c lib/sysctl.c
lib-srcs += lib/decompress.c lib/image.c
lib-srcs += lib/layout.c lib/builder.c
lib-srcs += lib/domstore.c lib/device.c lib/vbd.c lib/vif.c lib/netlink.c
lib-srcs += lib/p2m.c lib/save_file.c lib/save.c lib/restore.c
LIBGUEST := -llzma -lzstd -lz -llz4 -lbz2 -lmnl

cfg-srcs := lib/util.c lib/err.c lib/cfg_syntax.c lib/cfg_device.c lib/cfg_types.c lib/cfg.c lib/cfg_guest.c
image-srcs := lib/util.c lib/err.c lib/decompress.c lib/image.c lib/layout.c
unit-tests += test_cfg test_image test_save
test_cfg-srcs := tests/test_cfg.c $(cfg-srcs)
test_image-srcs := tests/test_image.c $(image-srcs)
test_image-libs = $(LIBGUEST)
test_save-srcs := tests/test_save.c lib/save_file.c $(cfg-srcs)
test_save-libs := -lz
fuzzers += fuzz_cfg fuzz_image fuzz_save
fuzz_cfg-srcs := fuzz/fuzz_cfg.c $(cfg-srcs)
fuzz_image-srcs := fuzz/fuzz_image.c $(image-srcs)
fuzz_image-libs = $(LIBGUEST)
fuzz_save-srcs := fuzz/fuzz_save.c lib/save_file.c $(cfg-srcs)
fuzz_save-libs := -lz
