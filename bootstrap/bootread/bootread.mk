# SPDX-License-Identifier: GPL-2.0-or-later
# bootread; included by ../Makefile.

bootread_srcs    := main pick menu grubcfg bls unpack vfs_ext vfs_dir sandbox
bootread_objs    := $(bootread_srcs:%=$(out)/bootread.d/%.o) $(out)/util.o $(lib)
bootread_testing := pick menu grubcfg bls unpack vfs_ext vfs_dir
bootread_sanobjs := $(bootread_testing:%=$(out)/san/bootread/%.o) $(out)/san/util.o $(san_lib)
bootread_libs    := -lext2fs -lcom_err -lblkid -lz -llzma -lbz2 -llz4 -lzstd

all: $(out)/bootread

$(out)/bootread.d/%.o: bootread/%.c $(MAKEFILE_LIST)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(cflags) -MMD -MP -c -o $@ $<

$(out)/bootread: $(bootread_objs)
	$(Q)$(CC) $(cflags) $(ldflags) -o $@ $^ $(bootread_libs) -lseccomp

-include $(patsubst %.o,%.d,$(filter %.o,$(bootread_objs)))
