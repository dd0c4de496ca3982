/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dialogs: a few questions with computed answers already filled in. All of
 * it can be done without them (--unattended and options).
 */
#include <newt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/util.h>

#include "setup.h"

static void take(char *dst, size_t size, char *src)
{
	snprintf(dst, size, "%s", src ? src : "");
	free(src);
}

int ui_ask(void)
{
	char mem[16], cpus[16], intro[400];
	char *vg = NULL, *pv = NULL, *bridge = NULL, *nic = NULL;
	char *m = NULL, *c = NULL;
	struct newtWinEntry entries[] = {
		{ (char *)"Volume group", &vg, 0 },
		{ (char *)"Disks, if it is to be made", &pv, 0 },
		{ (char *)"Bridge", &bridge, 0 },
		{ (char *)"Its network interface", &nic, 0 },
		{ (char *)"dom0 memory, MiB", &m, 0 },
		{ (char *)"dom0 processors", &c, 0 },
		{ NULL, NULL, 0 }
	};
	int r;

	if (newtInit())
		return -ENOTTY;
	snprintf(mem, sizeof(mem), "%u", answers.dom0_mib);
	snprintf(cpus, sizeof(cpus), "%u", answers.dom0_vcpus);
	snprintf(intro, sizeof(intro),
		 "%llu MiB of memory, %u processors, %s firmware. An empty "
		 "answer leaves the choice to the program.",
		 (unsigned long long)host.ram_mib, host.cpus,
		 host.efi ? "UEFI" : "BIOS");
	vg = strdup(answers.vg);
	pv = strdup(answers.pv);
	bridge = strdup(*answers.bridge ? answers.bridge : "xenbr0");
	nic = strdup(*answers.nic ? answers.nic : host.default_nic);
	m = strdup(answers.dom0_mib ? mem : "");
	c = strdup(answers.dom0_vcpus ? cpus : "");

	newtCls();
	newtDrawRootText(0, 0, "Bulkhead: turn this server into a host");
	r = newtWinEntries((char *)"Bulkhead setup", intro, 60, 5, 5, 40,
			   entries, (char *)"Continue", (char *)"Cancel", NULL);
	newtFinished();
	take(answers.vg, sizeof(answers.vg), vg);
	take(answers.pv, sizeof(answers.pv), pv);
	take(answers.bridge, sizeof(answers.bridge), bridge);
	take(answers.nic, sizeof(answers.nic), nic);
	answers.dom0_mib = m ? strtoul(m, NULL, 10) : 0;
	answers.dom0_vcpus = c ? strtoul(c, NULL, 10) : 0;
	free(m);
	free(c);
	return r == 2 ? -ECANCELED : 0;
}
