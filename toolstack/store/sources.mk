# SPDX-License-Identifier: GPL-2.0-or-later
# bulkhead-store. The core builds for its tests without the machine around it.
store-core := store/conn.c store/db.c store/journal.c store/persist.c \
	store/proto.c store/proto_domain.c store/ring.c store/store.c \
	store/tx.c store/watch.c

programs += bulkhead-store
bulkhead-store-srcs := $(store-core) store/host.c store/main.c store/socket.c
bulkhead-store-libs := $(LIBSYSTEMD)
bulkhead-store-dir  := $(sbindir)

# For the system tests: a static client that also runs in a tiny guest.
test-tools += xs_stress
xs_stress-srcs := tests/xs_stress.c lib/util.c lib/xs.c lib/xs_conn.c

store-test := $(store-core) lib/util.c tests/store_harness.c
unit-tests += test_store test_store_crash
test_store-srcs       := tests/test_store.c $(store-test)
test_store_crash-srcs := tests/test_store_crash.c $(store-test)
fuzzers += fuzz_store
fuzz_store-srcs := tests/fuzz_store.c $(store-test)

.PHONY: run-xs_restart
extra-unit += run-xs_restart
run-xs_restart: $(O)/toolstack/bulkhead-store $(O)/toolstack/tests/xs_stress
	$(Q)sh tests/xs_restart.sh $(O)/toolstack
	@echo "ok xs_restart"
