// SPDX-License-Identifier: Apache-2.0
/*
 * ask NODE...: open each device and ask it who it is. For each one line,
 *
 *	/dev/nvidia0 10de 0
 *
 * the driver and the minor that it reached, or what kept it from that:
 *
 *	/dev/nvidia7 open: No such device
 *
 * It ends with the number of nodes that did not answer. Linked statically: it
 * runs in containers that have no libraries. With -w it waits for its
 * standard input to end before it closes what it opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "lab.h"

static int ask(const char *path)
{
	struct lab_answer said = { .question = 41 };
	int fd = open(path, O_RDWR | O_CLOEXEC);

	/* A capability's node is readable and nothing else. */
	if (fd < 0 && errno == EACCES)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		printf("%s open: %s\n", path, strerror(errno));
		return 1;
	}
	if (ioctl(fd, LAB_ASK, &said) < 0) {
		printf("%s ioctl: %s\n", path, strerror(errno));
		return 1;
	}
	if (said.answer != said.question + 1) {
		printf("%s answered %u\n", path, said.answer);
		return 1;
	}
	printf("%s %04x %u\n", path, said.driver, said.minor);
	return 0;
}

int main(int argc, char **argv)
{
	int wait = argc > 1 && !strcmp(argv[1], "-w");
	int i, bad = 0;
	char byte;

	for (i = 1 + wait; i < argc; i++)
		bad += ask(argv[i]);
	fflush(stdout);
	while (wait && read(0, &byte, 1) > 0)
		;
	return bad;
}
