// SPDX-License-Identifier: GPL-2.0
/*
 * A stub with the outward shape of vfio-pci for TPUs from v5e on: a driver
 * called vfio-pci, an IOMMU group for each function, /dev/vfio/N named after
 * the group while its minor is the order of binding, and /dev/vfio/vfio.
 *
 * The real one cannot be had for functions of a bus in software: no IOMMU
 * translates for them. The groups are the kernel's own all the same.
 */
#include <linux/device.h>
#include <linux/idr.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include "lab_answer.h"

#define GOOGLE	0x1ae0
#define GROUPS	32

static int major;
static struct class *vfio;
static DEFINE_IDA(minors);
static unsigned long held;

/* A group is one opener's at a time (drivers/vfio/group.c). */
static int group_open(struct inode *inode, struct file *file)
{
	return test_and_set_bit(iminor(inode) % GROUPS, &held) ? -EBUSY : 0;
}

static int group_release(struct inode *inode, struct file *file)
{
	clear_bit(iminor(inode) % GROUPS, &held);
	return 0;
}

static long group_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return lab_answer(file, cmd, arg, LAB_VFIO);
}

static const struct file_operations group_fops = {
	.owner		= THIS_MODULE,
	.open		= group_open,
	.release	= group_release,
	.unlocked_ioctl	= group_ioctl,
};

static const struct file_operations container_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= group_ioctl,
};

static struct miscdevice container = {
	.minor		= 196,	/* VFIO_MINOR */
	.name		= "vfio",
	.nodename	= "vfio/vfio",
	.mode		= 0666,
	.fops		= &container_fops,
};

static char *vfio_devnode(const struct device *dev, umode_t *mode)
{
	return kasprintf(GFP_KERNEL, "vfio/%s", dev_name(dev));
}

static int join_group(struct device *dev)
{
	struct iommu_group *group = iommu_group_alloc();
	int error;

	if (IS_ERR(group))
		return PTR_ERR(group);
	error = iommu_group_add_device(group, dev);
	iommu_group_put(group);
	return error;
}

static int vfio_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct iommu_group *group;
	struct device *node;
	int minor, error;

	error = join_group(&pdev->dev);
	if (error)
		return error;
	minor = ida_alloc_max(&minors, GROUPS - 1, GFP_KERNEL);
	if (minor < 0) {
		error = minor;
		goto group;
	}
	group = iommu_group_get(&pdev->dev);
	node = device_create(vfio, NULL, MKDEV(major, minor), NULL, "%d",
			     iommu_group_id(group));
	iommu_group_put(group);
	if (!IS_ERR(node)) {
		pci_set_drvdata(pdev, node);
		return 0;
	}
	error = PTR_ERR(node);
	ida_free(&minors, minor);
group:
	iommu_group_remove_device(&pdev->dev);
	return error;
}

static void vfio_remove(struct pci_dev *pdev)
{
	struct device *node = pci_get_drvdata(pdev);
	int minor = MINOR(node->devt);

	device_unregister(node);
	ida_free(&minors, minor);
	iommu_group_remove_device(&pdev->dev);
}

static const struct pci_device_id vfio_ids[] = {
	{ PCI_DEVICE(GOOGLE, 0x0062) },
	{ PCI_DEVICE(GOOGLE, 0x0063) },
	{ }
};

static struct pci_driver vfio_driver = {
	.name		= "vfio-pci",
	.id_table	= vfio_ids,
	.probe		= vfio_probe,
	.remove		= vfio_remove,
};

static int __init vfio_init(void)
{
	int error;

	major = __register_chrdev(0, 0, GROUPS, "vfio", &group_fops);
	if (major < 0)
		return major;
	vfio = class_create("vfio");
	error = PTR_ERR_OR_ZERO(vfio);
	if (error)
		goto number;
	vfio->devnode = vfio_devnode;
	error = misc_register(&container);
	if (error)
		goto class;
	error = pci_register_driver(&vfio_driver);
	if (!error)
		return 0;
	misc_deregister(&container);
class:
	class_destroy(vfio);
number:
	__unregister_chrdev(major, 0, GROUPS, "vfio");
	return error;
}

static void __exit vfio_exit(void)
{
	pci_unregister_driver(&vfio_driver);
	misc_deregister(&container);
	class_destroy(vfio);
	__unregister_chrdev(major, 0, GROUPS, "vfio");
}

module_init(vfio_init);
module_exit(vfio_exit);
MODULE_DESCRIPTION("devproxy lab: the shape of vfio-pci");
MODULE_LICENSE("GPL");
