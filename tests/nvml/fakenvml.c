/*
 * A libnvidia-ml.so.1 for tests. Its world is an INI file: the one that FAKE_NVML_CONF names, else `nvml.ini` beside the library. It
 * is read again whenever it changed, so that a test can take a GPU away from under a program that asks.
 *
 * [system]  driver nvml cuda count
 * [gpu N]   what the calls below return, by the keys named there; `none` for what the GPU does not support
 * [mig N.M] a MIG device of GPU N with index M: uuid name gi ci slices memory
 *
 * In every section: error.<call> = code        the call fails with it
 *                   error = code               every call fails with it, from the first or, with error.after = N, after N calls
 *                   hang.<call>, crash.<call>  the call never returns, or ends the process
 *                   noise.<call> = text        it writes text to every descriptor that is open, before it answers
 *                   print.<call> = text        it prints text, and a line's end in a call of its own
 *                   delay_ms = N               every call takes so long
 * A GPU with `needs = PATH` is lost once there is nothing at that path, and not counted any more by who asks then.
 * What a call sets is written into the file, but for what has `keeps.KEY = 1`. ECC and MIG mode change at the next reset, which a fake
 * does not have; with `mig_at_once = 1` MIG mode does at once, as since Hopper. A GPU instance without compute instances is
 * `gi.N = 1` in its GPU's section.
 * Calls are named as pynvml names them, without the version at the end. Types and codes are those of nvml.h.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15, IN_USE = 19, VERSION_MISMATCH = 25 };
enum { GPUS = 64, MIGS = 16, LINES = 8192 };

typedef struct device { int gpu, mig; long calls; } *Device; /* mig is -1 for a whole GPU */

static struct { char section[32], key[64], value[192]; } lines[LINES];
static int used, started;
static struct timespec read_at;
static struct device gpus[GPUS], migs[GPUS][MIGS];
static long system_calls;

/* The file */

static const char *conf_path(void)
{
	static char path[PATH_MAX];
	const char *named = getenv("FAKE_NVML_CONF");
	Dl_info self;
	if (named)
		return named;
	if (!dladdr(&read_at, &self) || !self.dli_fname)
		return NULL;
	snprintf(path, sizeof path - 16, "%s", self.dli_fname);
	char *slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "nvml.ini");
	return path;
}

static char *trimmed(char *text)
{
	text += strspn(text, " \t");
	for (size_t n = strlen(text); n && strchr(" \t\r\n", text[n - 1]); n--)
		text[n - 1] = 0;
	return text;
}

static void load(void)
{
	const char *path = conf_path();
	char line[320], section[32] = "";
	struct stat found;
	if (!path || stat(path, &found)) {
		used = 0;
		return;
	}
	if (found.st_mtim.tv_sec == read_at.tv_sec && found.st_mtim.tv_nsec == read_at.tv_nsec)
		return;
	FILE *file = fopen(path, "re");
	if (!file)
		return;
	read_at = found.st_mtim;
	used = 0;
	while (used < LINES && fgets(line, sizeof line, file)) {
		char *text = trimmed(line), *equals = strchr(text, '=');
		if (*text == '[')
			sscanf(text, "[%31[^]]]", section);
		if (*text == '[' || *text == '#' || !equals)
			continue;
		*equals = 0;
		snprintf(lines[used].section, sizeof lines[used].section, "%s", section);
		snprintf(lines[used].key, sizeof lines[used].key, "%s", trimmed(text));
		snprintf(lines[used].value, sizeof lines[used].value, "%s", trimmed(equals + 1));
		used++;
	}
	fclose(file);
}

static const char *get(const char *section, const char *key)
{
	for (int i = 0; i < used; i++)
		if (!strcmp(lines[i].section, section) && !strcmp(lines[i].key, key))
			return lines[i].value;
	return NULL;
}

static const char *get(const char *section, const char *key);

/* What is set: the file is written anew, beside itself, and put in its own place */

static void save(void)
{
	char path[PATH_MAX + 8];
	snprintf(path, sizeof path, "%s.set", conf_path());
	FILE *file = fopen(path, "we");
	if (!file)
		abort();
	for (int i = 0; i < used; i++) {
		if (!i || strcmp(lines[i].section, lines[i - 1].section))
			fprintf(file, "[%s]\n", lines[i].section);
		fprintf(file, "%s = %s\n", lines[i].key, lines[i].value);
	}
	if (fclose(file) || rename(path, conf_path()))
		abort();
}

static void take_out(const char *section, const char *key) /* the whole section without a key */
{
	int kept = 0;
	for (int i = 0; i < used; i++)
		if (strcmp(lines[i].section, section) || (key && strcmp(lines[i].key, key)))
			lines[kept++] = lines[i];
	used = kept;
}

static void put(const char *section, const char *key, unsigned value)
{
	char keeps[80];
	snprintf(keeps, sizeof keeps, "keeps.%s", key);
	if (get(section, keeps))
		return;
	take_out(section, key);
	int at = used;
	while (at && strcmp(lines[at - 1].section, section))
		at--;
	memmove(&lines[at + 1], &lines[at], (size_t)(used++ - at) * sizeof *lines);
	snprintf(lines[at].section, sizeof lines[at].section, "%s", section);
	snprintf(lines[at].key, sizeof lines[at].key, "%s", key);
	snprintf(lines[at].value, sizeof lines[at].value, "%u", value);
	save();
}

static int has(const char *section)
{
	for (int i = 0; i < used; i++)
		if (!strcmp(lines[i].section, section))
			return 1;
	return 0;
}

static int is_gone(const char *section)
{
	const char *needed = get(section, "needs");
	return needed && access(needed, F_OK);
}

/* The section of the GPU with an index, and how many there are before the end. */
static int section_at(unsigned rank, unsigned *count)
{
	char section[32];
	for (int gpu = *count = 0; gpu < GPUS; gpu++) {
		snprintf(section, sizeof section, "gpu %d", gpu);
		if (!has(section))
			break;
		if (!is_gone(section) && (*count)++ == rank)
			return gpu;
	}
	return (int)rank;
}

static const char *directive(const char *section, const char *what, const char *call)
{
	char key[96];
	snprintf(key, sizeof key, "%s.%s", what, call);
	return get(section, key);
}

/* What may go wrong in a call */

static int fault(const char *section, const char *call, long calls)
{
	const char *value;
	if ((value = get(section, "delay_ms")))
		usleep(1000 * atoi(value));
	if ((value = directive(section, "noise", call)))
		for (int fd = 1; fd < 64; fd++)
			if (dprintf(fd, "%s\n", value) < 0)
				continue;
	if ((value = directive(section, "print", call)) && (dprintf(1, "%s", value) < 0 || dprintf(1, "\n") < 0))
		return SUCCESS;
	while (directive(section, "hang", call))
		pause();
	if (directive(section, "crash", call))
		*(volatile int *)0 = 0;
	if ((value = directive(section, "error", call)))
		return atoi(value);
	if ((value = get(section, "error"))) {
		const char *after = get(section, "error.after");
		if (!after || calls > atol(after))
			return atoi(value);
	}
	return SUCCESS;
}

static int enter(const char *call)
{
	load();
	return started ? fault("system", call, ++system_calls) : UNINITIALIZED;
}

static const char *section_of(Device device)
{
	static char name[32];
	if (device->mig < 0)
		snprintf(name, sizeof name, "gpu %d", device->gpu);
	else
		snprintf(name, sizeof name, "mig %d.%d", device->gpu, device->mig);
	return name;
}

static int enter_device(Device device, const char *call)
{
	int result = enter(call);
	if (result)
		return result;
	if (!device)
		return INVALID_ARGUMENT;
	if (!has(section_of(device)) || is_gone(section_of(device)))
		return GPU_IS_LOST; /* its section, or what it needs, is gone: fallen off the bus */
	result = fault(section_of(device), call, ++device->calls);
	if (!result && device->mig >= 0)
		result = fault(section_of(&gpus[device->gpu]), call, ++gpus[device->gpu].calls);
	return result;
}

#define SYSTEM(call) do { int r_ = enter(#call); if (r_) return r_; } while (0)
#define DEVICE(call) do { int r_ = enter_device(device, #call); if (r_) return r_; } while (0)

static int text(const char *value, const char *otherwise, char *out, unsigned size)
{
	value = value ? value : otherwise;
	if (!value || !strcmp(value, "none"))
		return NOT_SUPPORTED;
	if (strlen(value) >= size)
		return INSUFFICIENT_SIZE;
	strcpy(out, value);
	return SUCCESS;
}

static int number(Device device, const char *key, const char *otherwise, unsigned long long *out)
{
	const char *value = get(section_of(device), key);
	value = value ? value : otherwise;
	if (!value || !strcmp(value, "none"))
		return NOT_SUPPORTED;
	*out = strtoull(value, NULL, 0);
	return SUCCESS;
}

static int small(Device device, const char *key, const char *otherwise, unsigned *out)
{
	unsigned long long value;
	int result = number(device, key, otherwise, &value);
	if (!result)
		*out = (unsigned)value;
	return result;
}

/* Library and system */

int nvmlInitWithFlags(unsigned flags)
{
	(void)flags;
	load();
	int result = fault("system", "nvmlInitWithFlags", ++system_calls);
	if (!result && !used)
		result = DRIVER_NOT_LOADED;
	started += !result;
	return result;
}

int nvmlShutdown(void) { SYSTEM(nvmlShutdown); started--; return SUCCESS; }

const char *nvmlErrorString(int code) { static char told[32]; snprintf(told, sizeof told, "code %d", code); return told; }

int nvmlSystemGetDriverVersion(char *out, unsigned size)
{ SYSTEM(nvmlSystemGetDriverVersion); return text(get("system", "driver"), "550.163.01", out, size); }

int nvmlSystemGetNVMLVersion(char *out, unsigned size)
{ SYSTEM(nvmlSystemGetNVMLVersion); return text(get("system", "nvml"), "12.550.163.01", out, size); }

int nvmlSystemGetCudaDriverVersion_v2(int *out)
{ SYSTEM(nvmlSystemGetCudaDriverVersion); *out = atoi(get("system", "cuda") ?: "12040"); return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *out)
{
	const char *told = get("system", "count");
	SYSTEM(nvmlDeviceGetCount);
	section_at(GPUS, out);
	if (told)
		*out = (unsigned)strtoul(told, NULL, 0);
	return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned rank, Device *out)
{
	SYSTEM(nvmlDeviceGetHandleByIndex);
	if (rank >= GPUS)
		return INVALID_ARGUMENT;
	unsigned before;
	int section = section_at(rank, &before);
	Device device = &gpus[section];
	device->gpu = section, device->mig = -1;
	DEVICE(nvmlDeviceGetHandleByIndex);
	*out = device;
	return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device *out)
{
	char section[32];
	SYSTEM(nvmlDeviceGetHandleByUUID);
	for (unsigned rank = 0; rank < GPUS; rank++) {
		snprintf(section, sizeof section, "gpu %u", rank);
		const char *own = get(section, "uuid");
		if (own && !strcmp(own, uuid))
			return nvmlDeviceGetHandleByIndex_v2(rank, out);
	}
	return NOT_FOUND;
}

/* Identity */

#define TEXT(call, key, otherwise) \
	int call(Device device, char *out, unsigned size) \
	{ DEVICE(call); return text(get(section_of(device), key), otherwise, out, size); }
#define NUMBER(call, symbol, key, otherwise) \
	int symbol(Device device, unsigned *out) { DEVICE(call); return small(device, key, otherwise, out); }
#define PLAIN(call, key, otherwise) NUMBER(call, call, key, otherwise)

TEXT(nvmlDeviceGetUUID, "uuid", NULL)
TEXT(nvmlDeviceGetName, "name", "NVIDIA H100 80GB HBM3")
TEXT(nvmlDeviceGetSerial, "serial", "1650000000000")
PLAIN(nvmlDeviceGetMinorNumber, "minor", NULL)
PLAIN(nvmlDeviceGetNumaNodeId, "memory_node", NULL)

struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32]; };

int nvmlDeviceGetPciInfo_v3(Device device, struct pci *out)
{
	DEVICE(nvmlDeviceGetPciInfo);
	const char *address = get(section_of(device), "address");
	if (!address)
		return NOT_SUPPORTED;
	memset(out, 0, sizeof *out);
	sscanf(address, "%x:%x:%x", &out->domain, &out->bus, &out->device);
	out->id = 0x233010de;
	out->subsystem = 0x16c110de;
	snprintf(out->address, sizeof out->address, "%s", address);
	return SUCCESS;
}

/* `numa = 0,1`: the nodes that it is next to */

int nvmlDeviceGetMemoryAffinity(Device device, unsigned size, unsigned long *out, unsigned scope)
{
	(void)scope;
	DEVICE(nvmlDeviceGetMemoryAffinity);
	const char *list = get(section_of(device), "numa");
	if (!list)
		return NOT_SUPPORTED;
	memset(out, 0, size * sizeof *out);
	for (; *list; list += strcspn(list, ","), list += *list == ',') {
		unsigned node = (unsigned)atoi(list);
		if (node >= size * 64)
			return INSUFFICIENT_SIZE;
		out[node / 64] |= 1UL << node % 64;
	}
	return SUCCESS;
}

/* State */

PLAIN(nvmlDeviceGetPersistenceMode, "persistence", "1")
PLAIN(nvmlDeviceGetComputeMode, "compute_mode", "0")
PLAIN(nvmlDeviceGetPowerUsage, "power_mw", "71250")
PLAIN(nvmlDeviceGetEnforcedPowerLimit, "power_limit_mw", "700000")
PLAIN(nvmlDeviceGetPowerManagementDefaultLimit, "power_default_mw", "700000")
PLAIN(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_gen", "5")
PLAIN(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_gen_most", "5")
PLAIN(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width", "16")
PLAIN(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_most", "16")

int nvmlDeviceGetTemperature(Device device, int sensor, unsigned *out)
{ (void)sensor; DEVICE(nvmlDeviceGetTemperature); return small(device, "temperature", "34", out); }

int nvmlDeviceGetTemperatureThreshold(Device device, int which, unsigned *out)
{
	DEVICE(nvmlDeviceGetTemperatureThreshold);
	return which == 0 ? small(device, "shutdown", "92", out) : which == 1 ? small(device, "slowdown", "89", out) : NOT_SUPPORTED;
}

int nvmlDeviceGetUtilizationRates(Device device, unsigned out[2])
{ DEVICE(nvmlDeviceGetUtilizationRates); out[1] = 0; return small(device, "load", "0", out); }

int nvmlDeviceGetMemoryInfo(Device device, unsigned long long out[3])
{
	DEVICE(nvmlDeviceGetMemoryInfo);
	int result = number(device, "memory", "85520809984", &out[0]);
	result = result ? result : number(device, "memory_used", "0", &out[2]);
	out[1] = out[0] - out[2];
	return result;
}

struct memory { unsigned version; unsigned long long total, reserved, free, used; };

int nvmlDeviceGetMemoryInfo_v2(Device device, struct memory *out)
{
	DEVICE(nvmlDeviceGetMemoryInfo);
	if (out->version != (sizeof *out | 2 << 24))
		return VERSION_MISMATCH;
	int result = number(device, "memory", "85520809984", &out->total);
	result = result ? result : number(device, "memory_used", "0", &out->used);
	out->reserved = 600 << 20;
	out->free = out->total - out->reserved - out->used;
	return result;
}

static int clock_of(Device device, int type, const char *key, const char *otherwise, unsigned *out)
{ return type == 1 ? small(device, key, otherwise, out) : NOT_SUPPORTED; } /* NVML_CLOCK_SM */

int nvmlDeviceGetClockInfo(Device device, int type, unsigned *out)
{ DEVICE(nvmlDeviceGetClockInfo); return clock_of(device, type, "clock", "345", out); }

int nvmlDeviceGetMaxClockInfo(Device device, int type, unsigned *out)
{ DEVICE(nvmlDeviceGetMaxClockInfo); return clock_of(device, type, "clock_most", "1980", out); }

int nvmlDeviceGetApplicationsClock(Device device, int type, unsigned *out)
{
	DEVICE(nvmlDeviceGetApplicationsClock);
	if (type == 2) /* NVML_CLOCK_MEM */
		return small(device, "clock_memory", "2619", out);
	return clock_of(device, type, "clock_locked", "1980", out);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long *out)
{ DEVICE(nvmlDeviceGetCurrentClocksThrottleReasons); return number(device, "throttle", "1", out); }

static int modes(Device device, const char *key, const char *later, const char *otherwise, unsigned *now, unsigned *pending)
{
	char told[16] = "";
	int result = small(device, key, otherwise, now);
	snprintf(told, sizeof told, "%u", *now);
	return result ? result : small(device, later, told, pending);
}

int nvmlDeviceGetEccMode(Device device, unsigned *now, unsigned *pending)
{ DEVICE(nvmlDeviceGetEccMode); return modes(device, "ecc", "ecc_pending", "1", now, pending); }

int nvmlDeviceGetTotalEccErrors(Device device, int type, int counter, unsigned long long *out)
{
	DEVICE(nvmlDeviceGetTotalEccErrors);
	return number(device, type == 0 ? "ecc_corrected" : counter == 0 ? "ecc_volatile" : "ecc_aggregate", "0", out);
}

int nvmlDeviceGetRemappedRows(Device device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed)
{
	DEVICE(nvmlDeviceGetRemappedRows);
	*corrected = *uncorrected = 0;
	int result = small(device, "remap_pending", "0", pending);
	return result ? result : small(device, "remap_failed", "0", failed);
}

/* Links: `nvlinks = 110` is three of them, the last down */

int nvmlDeviceGetNvLinkState(Device device, unsigned link, unsigned *out)
{
	DEVICE(nvmlDeviceGetNvLinkState);
	const char *links = get(section_of(device), "nvlinks");
	if (!links)
		return NOT_SUPPORTED;
	if (link >= strlen(links))
		return INVALID_ARGUMENT;
	*out = links[link] == '1';
	return SUCCESS;
}

struct fabric { unsigned char cluster[16]; unsigned status, clique; unsigned char state; };

int nvmlDeviceGetGpuFabricInfo(Device device, struct fabric *out)
{
	unsigned state;
	DEVICE(nvmlDeviceGetGpuFabricInfo);
	int result = small(device, "fabric", NULL, &state);
	if (result)
		return result;
	memset(out, 0, sizeof *out);
	out->state = (unsigned char)state;
	return small(device, "fabric_status", "0", &out->status);
}

/* Processes: `pids = 4242:512,4243`, numbers with the MiB that each uses; `graphics` and `mps` likewise */

struct process { unsigned pid; unsigned long long memory; unsigned instance, compute; };

static int processes(Device device, const char *key, unsigned *count, struct process *out)
{
	unsigned room = out ? *count : 0, found = 0;
	const char *list = get(section_of(device), key);
	if (list && !strcmp(list, "none"))
		return NOT_SUPPORTED;
	for (; list && *list; list += strcspn(list, ","), list += *list == ',', found++) {
		unsigned long long memory = 0;
		unsigned pid = 0;
		sscanf(list, "%u:%llu", &pid, &memory);
		if (found < room)
			out[found] = (struct process){ pid, memory << 20, ~0u, ~0u };
	}
	*count = found;
	return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, struct process *out)
{ DEVICE(nvmlDeviceGetComputeRunningProcesses); return processes(device, "pids", count, out); }

/* The same structure, by the name that libraries before 510 have; only in a build that leaves the newer one out is it looked for. */
int nvmlDeviceGetComputeRunningProcesses_v2(Device device, unsigned *count, struct process *out)
{ DEVICE(nvmlDeviceGetComputeRunningProcesses); return processes(device, "pids", count, out); }

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, struct process *out)
{ DEVICE(nvmlDeviceGetGraphicsRunningProcesses); return processes(device, "graphics", count, out); }

int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device device, unsigned *count, struct process *out)
{ DEVICE(nvmlDeviceGetMPSComputeRunningProcesses); return processes(device, "mps", count, out); }

/* MIG */

int nvmlDeviceGetMigMode(Device device, unsigned *now, unsigned *pending)
{ DEVICE(nvmlDeviceGetMigMode); return modes(device, "mig", "mig_pending", NULL, now, pending); }

int nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *out)
{ DEVICE(nvmlDeviceGetMaxMigDeviceCount); *out = get(section_of(device), "mig") ? 7 : 0; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned rank, Device *out)
{
	char section[32];
	DEVICE(nvmlDeviceGetMigDeviceHandleByIndex);
	if (rank >= 7)
		return INVALID_ARGUMENT;
	snprintf(section, sizeof section, "mig %d.%u", device->gpu, rank);
	if (!has(section))
		return NOT_FOUND;
	*out = &migs[device->gpu][rank];
	(*out)->gpu = device->gpu, (*out)->mig = (int)rank;
	return SUCCESS;
}

PLAIN(nvmlDeviceGetGpuInstanceId, "gi", NULL)
PLAIN(nvmlDeviceGetComputeInstanceId, "ci", "0")

/* Setting */

#define SET(call, key, good) \
	int call(Device device, unsigned value) \
	{ DEVICE(call); if (!(good)) return INVALID_ARGUMENT; put(section_of(device), key, value); return SUCCESS; }

SET(nvmlDeviceSetComputeMode, "compute_mode", value < 4)
SET(nvmlDeviceSetPersistenceMode, "persistence", value < 2)
SET(nvmlDeviceSetPowerManagementLimit, "power_limit_mw", value >= 200000 && value <= 700000)
SET(nvmlDeviceSetEccMode, "ecc_pending", value < 2)

int nvmlDeviceSetApplicationsClocks(Device device, unsigned memory, unsigned sm)
{
	DEVICE(nvmlDeviceSetApplicationsClocks);
	put(section_of(device), "clock_memory", memory);
	put(section_of(device), "clock_locked", sm);
	return SUCCESS;
}

typedef struct instance { int gpu, gi, ci, mig; } *Instance;

static int find_instance(int gpu, int gi, int ci) /* its index among the MIG devices; a `ci` of -1 is any */
{
	char section[32];
	for (int mig = 0; mig < MIGS; mig++) {
		snprintf(section, sizeof section, "mig %d.%d", gpu, mig);
		const char *whole = get(section, "gi"), *part = get(section, "ci");
		if (whole && atoi(whole) == gi && (ci < 0 || atoi(part ? part : "0") == ci))
			return mig;
	}
	return -1;
}

static const char *empty_key(int gi) { static char key[16]; snprintf(key, sizeof key, "gi.%d", gi); return key; }

int nvmlDeviceSetMigMode(Device device, unsigned mode, int *activation)
{
	DEVICE(nvmlDeviceSetMigMode);
	for (int gi = 0; gi < MIGS; gi++)
		if (!mode && (find_instance(device->gpu, gi, -1) >= 0 || get(section_of(device), empty_key(gi))))
			return IN_USE;
	*activation = SUCCESS;
	put(section_of(device), "mig_pending", mode);
	if (get(section_of(device), "mig_at_once"))
		put(section_of(device), "mig", mode);
	return SUCCESS;
}

int nvmlDeviceGetGpuInstanceById(Device device, unsigned gi, Instance *out)
{
	static struct instance found;
	DEVICE(nvmlDeviceGetGpuInstanceById);
	if (find_instance(device->gpu, (int)gi, -1) < 0 && !get(section_of(device), empty_key((int)gi)))
		return NOT_FOUND;
	found = (struct instance){ device->gpu, (int)gi, -1, -1 };
	*out = &found;
	return SUCCESS;
}

int nvmlGpuInstanceGetComputeInstanceById(Instance whole, unsigned ci, Instance *out)
{
	static struct instance found;
	SYSTEM(nvmlGpuInstanceGetComputeInstanceById);
	found = (struct instance){ whole->gpu, whole->gi, (int)ci, find_instance(whole->gpu, whole->gi, (int)ci) };
	if (found.mig < 0)
		return NOT_FOUND;
	*out = &found;
	return SUCCESS;
}

int nvmlComputeInstanceDestroy(Instance part)
{
	char section[32];
	SYSTEM(nvmlComputeInstanceDestroy);
	snprintf(section, sizeof section, "mig %d.%d", part->gpu, part->mig);
	take_out(section, NULL);
	put(section_of(&gpus[part->gpu]), empty_key(part->gi), 1);
	return SUCCESS;
}

int nvmlGpuInstanceDestroy(Instance whole)
{
	SYSTEM(nvmlGpuInstanceDestroy);
	if (find_instance(whole->gpu, whole->gi, -1) >= 0)
		return IN_USE;
	take_out(section_of(&gpus[whole->gpu]), empty_key(whole->gi));
	save();
	return SUCCESS;
}
