// SPDX-License-Identifier: GPL-2.0
/* A driver that is nobody's: it takes the first dynamic major that is free. */
#include <linux/fs.h>
#include <linux/module.h>

static int major;

static const struct file_operations other_fops = {
	.owner	= THIS_MODULE,
};

static int __init other_init(void)
{
	major = register_chrdev(0, "other", &other_fops);
	return major < 0 ? major : 0;
}

static void __exit other_exit(void)
{
	unregister_chrdev(major, "other");
}

module_init(other_init);
module_exit(other_exit);
MODULE_DESCRIPTION("devproxy lab: takes a dynamic major");
MODULE_LICENSE("GPL");
