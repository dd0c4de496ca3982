# SPDX-License-Identifier: GPL-2.0-or-later
# The administrator's command.
programs += bhctl
bhctl-srcs := bhctl/main.c bhctl/unit.c bhctl/control.c bhctl/list.c \
	bhctl/life.c bhctl/restore.c bhctl/console.c bhctl/resource.c \
	bhctl/device.c bhctl/watch.c
bhctl-libs = $(LIBSYSTEMD) $(LIBJSON) $(LIBGUEST) -lncursesw -ltinfo
bhctl-dir := $(sbindir)

extra-install += install-completion
.PHONY: install-completion
install-completion:
	$(Q)install -D -m 0644 bhctl/bhctl.bash \
		$(DESTDIR)$(prefix)/share/bash-completion/completions/bhctl
