/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's side of LAB_ASK. */
#ifndef DEVPROXY_LAB_ANSWER_H
#define DEVPROXY_LAB_ANSWER_H

#include <linux/fs.h>
#include <linux/uaccess.h>
#include "lab.h"

static inline long lab_answer(struct file *file, unsigned int cmd,
			      unsigned long arg, u32 driver)
{
	void __user *user = (void __user *)arg;
	struct lab_answer said;

	if (cmd != LAB_ASK)
		return -ENOTTY;
	if (copy_from_user(&said, user, sizeof(said)))
		return -EFAULT;
	said.driver = driver;
	said.minor = iminor(file_inode(file));
	said.answer = said.question + 1;
	return copy_to_user(user, &said, sizeof(said)) ? -EFAULT : 0;
}

#endif
