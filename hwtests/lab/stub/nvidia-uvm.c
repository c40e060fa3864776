// SPDX-License-Identifier: GPL-2.0
/*
 * A stub of nvidia-uvm, a module of its own as NVIDIA's is: its dynamic major
 * moves when it is loaded again after another driver took the number.
 */
#include <linux/module.h>
#include "lab_answer.h"

static int major;

static long uvm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return lab_answer(file, cmd, arg, LAB_UVM);
}

static const struct file_operations uvm_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= uvm_ioctl,
};

static int __init uvm_init(void)
{
	major = __register_chrdev(0, 0, 2, "nvidia-uvm", &uvm_fops);
	return major < 0 ? major : 0;
}

static void __exit uvm_exit(void)
{
	__unregister_chrdev(major, 0, 2, "nvidia-uvm");
}

module_init(uvm_init);
module_exit(uvm_exit);
MODULE_DESCRIPTION("devproxy lab: the shape of nvidia-uvm");
MODULE_VERSION("550.163.01");
MODULE_LICENSE("GPL");
