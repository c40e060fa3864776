// SPDX-License-Identifier: GPL-2.0
/*
 * A PCI bus in software, whose functions are what a parameter says:
 *
 *	insmod fakepci.ko functions=10de:2330:030200,1ae0:005e:120000
 *
 * each VENDOR:DEVICE:CLASS in hexadecimal, from slot 1 up, in a domain of
 * their own. QEMU's devices cannot be given another vendor, and a driver
 * binds by vendor. The functions have no BARs and raise no interrupts.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#define SLOTS	31
#define CONFIG	256

static char *functions = "";
module_param(functions, charp, 0444);
MODULE_PARM_DESC(functions, "VENDOR:DEVICE:CLASS, separated by commas");

static int domain = 1;
module_param(domain, int, 0444);
MODULE_PARM_DESC(domain, "PCI domain of the bus");

static u8 config[SLOTS][CONFIG];
static unsigned int present;

static struct pci_bus *root;
static struct pci_sysdata sysdata;
static struct resource numbers = {
	.name	= "fakepci",
	.flags	= IORESOURCE_BUS,
};

/* The byte in a function's configuration space, NULL where there is none. */
static u8 *at(struct pci_bus *bus, unsigned int devfn, int where, int size)
{
	unsigned int slot = PCI_SLOT(devfn);

	if (bus->number || PCI_FUNC(devfn) || where + size > CONFIG)
		return NULL;
	if (!slot || slot > present)
		return NULL;
	return &config[slot - 1][where];
}

static int fakepci_read(struct pci_bus *bus, unsigned int devfn, int where,
			int size, u32 *value)
{
	const u8 *from = at(bus, devfn, where, size);

	if (!from) {
		PCI_SET_ERROR_RESPONSE(value);
		return PCIBIOS_DEVICE_NOT_FOUND;
	}
	*value = size == 1 ? *from :
		 size == 2 ? get_unaligned_le16(from) : get_unaligned_le32(from);
	return PCIBIOS_SUCCESSFUL;
}

/* Only the command register is kept: a BAR that cannot be written is none. */
static int fakepci_write(struct pci_bus *bus, unsigned int devfn, int where,
			 int size, u32 value)
{
	u8 *to = at(bus, devfn, where, size);

	if (!to)
		return PCIBIOS_DEVICE_NOT_FOUND;
	if (where == PCI_COMMAND)
		put_unaligned_le16(value, to);
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops ops = {
	.read	= fakepci_read,
	.write	= fakepci_write,
};

static int parse_functions(void)
{
	unsigned int vendor, device, class;
	char *copy, *rest, *word;
	int error = 0;

	rest = copy = kstrdup(functions, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	while (!error && (word = strsep(&rest, ","))) {
		u8 *space = config[present];

		if (present == SLOTS ||
		    sscanf(word, "%x:%x:%x", &vendor, &device, &class) != 3) {
			error = -EINVAL;
			break;
		}
		put_unaligned_le16(vendor, space + PCI_VENDOR_ID);
		put_unaligned_le16(device, space + PCI_DEVICE_ID);
		put_unaligned_le32(class << 8 | 0xa1, space + PCI_CLASS_REVISION);
		put_unaligned_le16(vendor, space + PCI_SUBSYSTEM_VENDOR_ID);
		put_unaligned_le16(device, space + PCI_SUBSYSTEM_ID);
		present++;
	}
	kfree(copy);
	return error;
}

static int __init fakepci_init(void)
{
	LIST_HEAD(resources);
	int error = parse_functions();

	if (error)
		return error;
	sysdata.domain = domain;
	sysdata.node = NUMA_NO_NODE;
	pci_add_resource(&resources, &numbers);
	root = pci_scan_root_bus(NULL, 0, &ops, &sysdata, &resources);
	if (!root) {
		pci_free_resource_list(&resources);
		return -ENODEV;
	}
	pci_bus_add_devices(root);
	return 0;
}

static void __exit fakepci_exit(void)
{
	pci_lock_rescan_remove();
	pci_stop_root_bus(root);
	pci_remove_root_bus(root);
	pci_unlock_rescan_remove();
}

module_init(fakepci_init);
module_exit(fakepci_exit);
MODULE_DESCRIPTION("devproxy lab: a PCI bus in software");
MODULE_LICENSE("GPL");
