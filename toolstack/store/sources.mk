# SPDX-License-Identifier: GPL-2.0-or-later
# bulkhead-store. The core builds for its tests without the machine around it.
store-core := store/conn.c store/db.c store/journal.c store/persist.c \
	store/proto.c store/proto_domain.c store/ring.c store/store.c \
	store/tx.c store/watch.c

programs += bulkhead-store
bulkhead-store-srcs := $(store-core) store/host.c store/main.c store/socket.c
bulkhead-store-libs := $(LIBSYSTEMD)
bulkhead-store-dir  := $(sbindir)
