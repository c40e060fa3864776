// SPDX-License-Identifier: GPL-2.0
/*
 * A stub with the outward shape of NVIDIA's driver. It binds NVIDIA's display
 * controllers; major 195 is shared by three names in /proc/devices; that of
 * nvidia-caps is dynamic; what the driver knows stands in /proc/driver/nvidia.
 *
 * Like the driver it has no device class: no node appears in /dev, and udev
 * knows of none. Whoever wants nodes makes them, as nvidia-modprobe does.
 *
 * A GPU can be told to fall off the bus while it is used:
 *
 *	echo 6 >/sys/module/nvidia/parameters/doomed
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/workqueue.h>
#include "lab_answer.h"

#define VERSION		"550.163.01"
#define NVIDIA_MAJOR	195
#define GPUS		32
#define GPU_MINORS	248
#define MODESET		254
#define CTL		255

static int mig = -1;
module_param(mig, int, 0444);
MODULE_PARM_DESC(mig, "minor of the GPU that is cut in two, -1 for none");

static int doomed = -1;
module_param(doomed, int, 0644);
MODULE_PARM_DESC(doomed, "minor of a GPU that answers twice more and is gone, -1 for none");

static int answers = 2;
module_param(answers, int, 0644);
MODULE_PARM_DESC(answers, "how often the doomed GPU still answers");

static struct pci_dev *gpus[GPUS];	/* by minor */
static DEFINE_MUTEX(gpus_lock);
static int caps_major;
static struct proc_dir_entry *top, *gpu_directory, *capabilities;

/* devices */

static bool gpu_is_there(unsigned int minor)
{
	bool there;

	mutex_lock(&gpus_lock);
	there = minor < GPUS && gpus[minor];
	mutex_unlock(&gpus_lock);
	return there;
}

/* In a work of its own: the removal waits for nobody who asks. */
static void take_away(struct work_struct *work)
{
	struct pci_dev *gpu = NULL;

	mutex_lock(&gpus_lock);
	if (doomed >= 0 && doomed < GPUS)
		gpu = pci_dev_get(gpus[doomed]);
	doomed = -1;
	mutex_unlock(&gpus_lock);
	if (!gpu)
		return;
	pci_stop_and_remove_bus_device_locked(gpu);
	pci_dev_put(gpu);
}
static DECLARE_WORK(falling, take_away);

/* What the driver says when a GPU no longer answers (Xid 79). */
static void fall_off_the_bus(unsigned int minor)
{
	struct pci_dev *gpu;

	mutex_lock(&gpus_lock);
	gpu = gpus[minor];
	if (gpu)
		pr_err("NVRM: Xid (PCI:%04x:%02x:%02x): 79, pid=%d, name=%s, GPU has fallen off the bus.\n",
		       pci_domain_nr(gpu->bus), gpu->bus->number,
		       PCI_SLOT(gpu->devfn), task_tgid_nr(current),
		       current->comm);
	mutex_unlock(&gpus_lock);
	schedule_work(&falling);
	flush_work(&falling);
}

static int nvidia_open(struct inode *inode, struct file *file)
{
	unsigned int minor = iminor(inode);

	return minor >= GPU_MINORS || gpu_is_there(minor) ? 0 : -ENODEV;
}

static long nvidia_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	unsigned int minor = iminor(file_inode(file));

	if (minor < GPUS && doomed == minor && answers-- <= 0)
		fall_off_the_bus(minor);
	/* A GPU that was taken away while it was held. */
	if (minor < GPU_MINORS && !gpu_is_there(minor))
		return -EIO;
	return lab_answer(file, cmd, arg, LAB_NVIDIA);
}

static const struct file_operations nvidia_fops = {
	.owner		= THIS_MODULE,
	.open		= nvidia_open,
	.unlocked_ioctl	= nvidia_ioctl,
};

static long caps_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return lab_answer(file, cmd, arg, LAB_CAPS);
}

static const struct file_operations caps_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= caps_ioctl,
};

/* /proc/driver/nvidia */

static int version_show(struct seq_file *m, void *v)
{
	seq_puts(m, "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  "
		 VERSION "  Release Build  (devproxy lab)\n"
		 "GCC version:  " CONFIG_CC_VERSION_TEXT "\n");
	return 0;
}

static int params_show(struct seq_file *m, void *v)
{
	seq_puts(m, "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\n"
		 "DeviceFileUID: 0\nDeviceFileGID: 0\nDeviceFileMode: 438\n"
		 "RegistryDwords: \"\"\n");
	return 0;
}

static int information_show(struct seq_file *m, void *v)
{
	unsigned int minor = (uintptr_t)m->private;
	struct pci_dev *gpu;

	mutex_lock(&gpus_lock);
	gpu = gpus[minor];
	if (gpu)
		seq_printf(m, "Model: \t\t NVIDIA H100 80GB HBM3\n"
			   "IRQ:   \t\t 0\n"
			   "GPU UUID: \t GPU-de500000-1ab0-4000-8000-%012x\n"
			   "Video BIOS: \t 96.00.74.00.01\n"
			   "Bus Type: \t PCIe\n"
			   "DMA Size: \t 52 bits\n"
			   "DMA Mask: \t 0xfffffffffffff\n"
			   "Bus Location: \t %s\n"
			   "Device Minor: \t %u\n"
			   "GPU Firmware: \t " VERSION "\n"
			   "GPU Excluded:\t No\n",
			   PCI_SLOT(gpu->devfn), pci_name(gpu), minor);
	mutex_unlock(&gpus_lock);
	return 0;
}

static int capability_show(struct seq_file *m, void *v)
{
	unsigned long minor = (uintptr_t)m->private;

	/* Reconfiguring is for root, looking and using a slice for everybody. */
	seq_printf(m, "DeviceFileMinor: %lu\nDeviceFileMode: %d\nDeviceFileModify: 1\n",
		   minor, minor == 1 ? 0400 : 0444);
	return 0;
}

static void add_capability(const char *path, uintptr_t minor)
{
	proc_create_single_data(path, 0444, capabilities, capability_show,
				(void *)minor);
}

/* Instances 1 and 2 of a GPU, each with a compute instance: see nvidia-caps/mig-minors. */
static void add_slices(int gpu)
{
	char path[64];
	int gi;

	snprintf(path, sizeof(path), "gpu%d", gpu);
	proc_mkdir(path, capabilities);
	snprintf(path, sizeof(path), "gpu%d/mig", gpu);
	proc_mkdir(path, capabilities);
	for (gi = 1; gi <= 2; gi++) {
		int minor = 3 + (gpu * 15 + gi) * 9;

		snprintf(path, sizeof(path), "gpu%d/mig/gi%d", gpu, gi);
		proc_mkdir(path, capabilities);
		snprintf(path, sizeof(path), "gpu%d/mig/gi%d/access", gpu, gi);
		add_capability(path, minor);
		snprintf(path, sizeof(path), "gpu%d/mig/gi%d/ci0", gpu, gi);
		proc_mkdir(path, capabilities);
		snprintf(path, sizeof(path), "gpu%d/mig/gi%d/ci0/access", gpu, gi);
		add_capability(path, minor + 1);
	}
}

static void make_proc(void)
{
	top = proc_mkdir("driver/nvidia", NULL);
	gpu_directory = proc_mkdir("gpus", top);
	capabilities = proc_mkdir("capabilities", top);
	proc_create_single("version", 0444, top, version_show);
	proc_create_single("params", 0444, top, params_show);
	proc_mkdir("mig", capabilities);
	add_capability("mig/config", 1);
	add_capability("mig/monitor", 2);
	if (mig >= 0)
		add_slices(mig);
}

/* the bus */

static int nvidia_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct proc_dir_entry *directory;
	uintptr_t minor;

	mutex_lock(&gpus_lock);
	for (minor = 0; minor < GPUS && gpus[minor]; minor++)
		;
	if (minor < GPUS)
		gpus[minor] = pdev;
	mutex_unlock(&gpus_lock);
	if (minor == GPUS)
		return -ENOSPC;
	directory = proc_mkdir(pci_name(pdev), gpu_directory);
	proc_create_single_data("information", 0444, directory,
				information_show, (void *)minor);
	return 0;
}

static void nvidia_remove(struct pci_dev *pdev)
{
	int minor;

	remove_proc_subtree(pci_name(pdev), gpu_directory);
	mutex_lock(&gpus_lock);
	for (minor = 0; minor < GPUS; minor++)
		if (gpus[minor] == pdev)
			gpus[minor] = NULL;
	mutex_unlock(&gpus_lock);
}

static const struct pci_device_id nvidia_ids[] = {
	{ .vendor = PCI_VENDOR_ID_NVIDIA, .device = PCI_ANY_ID,
	  .subvendor = PCI_ANY_ID, .subdevice = PCI_ANY_ID,
	  .class = PCI_BASE_CLASS_DISPLAY << 16, .class_mask = 0xff0000 },
	{ }
};
MODULE_DEVICE_TABLE(pci, nvidia_ids);

static struct pci_driver nvidia_driver = {
	.name		= "nvidia",
	.id_table	= nvidia_ids,
	.probe		= nvidia_probe,
	.remove		= nvidia_remove,
};

static void release_numbers(void)
{
	if (caps_major > 0)
		__unregister_chrdev(caps_major, 0, 1024, "nvidia-caps");
	__unregister_chrdev(NVIDIA_MAJOR, CTL, 1, "nvidiactl");
	__unregister_chrdev(NVIDIA_MAJOR, MODESET, 1, "nvidia-modeset");
	__unregister_chrdev(NVIDIA_MAJOR, 0, GPU_MINORS, "nvidia");
}

static int __init nvidia_init(void)
{
	int error;

	error = __register_chrdev(NVIDIA_MAJOR, 0, GPU_MINORS, "nvidia", &nvidia_fops);
	if (error)
		return error;
	/* Nobody else has the rest of the major once the first part is ours. */
	WARN_ON(__register_chrdev(NVIDIA_MAJOR, MODESET, 1, "nvidia-modeset", &nvidia_fops));
	WARN_ON(__register_chrdev(NVIDIA_MAJOR, CTL, 1, "nvidiactl", &nvidia_fops));
	caps_major = __register_chrdev(0, 0, 1024, "nvidia-caps", &caps_fops);
	if (caps_major < 0) {
		error = caps_major;
		goto numbers;
	}
	make_proc();
	error = pci_register_driver(&nvidia_driver);
	if (!error)
		return 0;
	proc_remove(top);
numbers:
	release_numbers();
	return error;
}

static void __exit nvidia_exit(void)
{
	cancel_work_sync(&falling);
	pci_unregister_driver(&nvidia_driver);
	proc_remove(top);
	release_numbers();
}

module_init(nvidia_init);
module_exit(nvidia_exit);
MODULE_DESCRIPTION("devproxy lab: the shape of NVIDIA's driver");
MODULE_VERSION(VERSION);
MODULE_LICENSE("GPL");
