/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lab's stub drivers and the program that asks them agree upon.
 *
 * One ioctl, of a type and size like those of NVIDIA's driver: it answers who
 * it is, so that a test knows which driver and which minor it reached, not
 * merely that something opened.
 */
#ifndef DEVPROXY_LAB_H
#define DEVPROXY_LAB_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define LAB_NVIDIA	0x10de
#define LAB_UVM		0x0055
#define LAB_CAPS	0x00ca
#define LAB_TPU		0x1ae0
#define LAB_VFIO	0x0f10

struct lab_answer {
	__u32 driver;	/* out: one of the above */
	__u32 minor;	/* out: of the node that was opened */
	__u32 question;	/* in */
	__u32 answer;	/* out: question + 1 */
};

#define LAB_ASK		_IOWR('F', 200, struct lab_answer)

#endif
