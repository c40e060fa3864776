// SPDX-License-Identifier: GPL-2.0
/*
 * A stub of the driver of TPUs up to v4: class `accel`, /dev/accelN made by
 * devtmpfs, a dynamic major. A chip is one opener's at a time.
 */
#include <linux/device.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/pci.h>
#include "lab_answer.h"

#define GOOGLE	0x1ae0
#define CHIPS	32

static int major;
static struct class *accel;
static DEFINE_IDA(numbers);
static unsigned long held;

static int tpu_open(struct inode *inode, struct file *file)
{
	return test_and_set_bit(iminor(inode) % CHIPS, &held) ? -EBUSY : 0;
}

static int tpu_release(struct inode *inode, struct file *file)
{
	clear_bit(iminor(inode) % CHIPS, &held);
	return 0;
}

static long tpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return lab_answer(file, cmd, arg, LAB_TPU);
}

static const struct file_operations tpu_fops = {
	.owner		= THIS_MODULE,
	.open		= tpu_open,
	.release	= tpu_release,
	.unlocked_ioctl	= tpu_ioctl,
};

static ssize_t chip_model_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "v4\n");
}
static DEVICE_ATTR_RO(chip_model);

static ssize_t pci_address_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", dev_name(dev->parent));
}
static DEVICE_ATTR_RO(pci_address);

static ssize_t is_device_owned_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", test_bit(MINOR(dev->devt), &held));
}
static DEVICE_ATTR_RO(is_device_owned);

static struct attribute *tpu_attrs[] = {
	&dev_attr_chip_model.attr,
	&dev_attr_pci_address.attr,
	&dev_attr_is_device_owned.attr,
	NULL
};
ATTRIBUTE_GROUPS(tpu);

static int tpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int number = ida_alloc_max(&numbers, CHIPS - 1, GFP_KERNEL);
	struct device *chip;

	if (number < 0)
		return number;
	chip = device_create_with_groups(accel, &pdev->dev, MKDEV(major, number),
					 NULL, tpu_groups, "accel%d", number);
	if (IS_ERR(chip)) {
		ida_free(&numbers, number);
		return PTR_ERR(chip);
	}
	pci_set_drvdata(pdev, chip);
	return 0;
}

static void tpu_remove(struct pci_dev *pdev)
{
	struct device *chip = pci_get_drvdata(pdev);
	int number = MINOR(chip->devt);

	device_unregister(chip);
	ida_free(&numbers, number);
}

static const struct pci_device_id tpu_ids[] = {
	{ PCI_DEVICE(GOOGLE, 0x005e) },
	{ }
};
MODULE_DEVICE_TABLE(pci, tpu_ids);

static struct pci_driver tpu_driver = {
	.name		= "tpu_common",
	.id_table	= tpu_ids,
	.probe		= tpu_probe,
	.remove		= tpu_remove,
};

static int __init tpu_init(void)
{
	int error;

	major = __register_chrdev(0, 0, CHIPS, "accel", &tpu_fops);
	if (major < 0)
		return major;
	accel = class_create("accel");
	error = PTR_ERR_OR_ZERO(accel);
	if (error)
		goto number;
	error = pci_register_driver(&tpu_driver);
	if (!error)
		return 0;
	class_destroy(accel);
number:
	__unregister_chrdev(major, 0, CHIPS, "accel");
	return error;
}

static void __exit tpu_exit(void)
{
	pci_unregister_driver(&tpu_driver);
	class_destroy(accel);
	__unregister_chrdev(major, 0, CHIPS, "accel");
}

module_init(tpu_init);
module_exit(tpu_exit);
MODULE_DESCRIPTION("devproxy lab: the shape of a TPU's driver");
MODULE_LICENSE("GPL");
