# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bulkhead: top of the build. Every component is one directory with one short
# Makefile of its own that understands all, unit, lint, install and clean, takes
# O= (where everything it generates goes) and DESTDIR=. This file only walks
# them; a component that does not exist yet is skipped.

O ?= $(CURDIR)/build
export O

components := $(patsubst %/Makefile,%,$(wildcard \
	hypervisor/Makefile toolstack/Makefile bootstrap/Makefile \
	init/Makefile installer/Makefile docs/Makefile tests/unit/Makefile \
	tests/guests/Makefile tests/bench/Makefile tests/fuzz/Makefile))

.PHONY: all unit lint install clean check demo compile_commands.json $(components)

all: $(components)

# Daemons and tools link the toolstack's library.
bootstrap init installer: | $(filter toolstack,$(components))

$(components):
	@$(MAKE) --no-print-directory -C $@ all

unit lint install:
	@set -e; for c in $(components); do \
		echo "== $@ $$c"; $(MAKE) --no-print-directory -C $$c $@; done

# For editors, clangd and clang-tidy.
compile_commands.json:
	@python3 mk/compile-commands.py $@ $(CURDIR) $(components)

check:
	./tests/check.sh

demo:
	./tests/demo.sh

clean:
	rm -rf $(O)

-include kernel/kernel.mk
