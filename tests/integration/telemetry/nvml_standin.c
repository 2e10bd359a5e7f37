/* libnvidia-ml.so.1 for machines without one: the C functions that harness/machine/nvml.py reaches through pynvml,
 * with the signatures of nvml.h and values that a test knows. It is told what to say by environment variables:
 *
 *   STANDIN_STATE   a file, read at every question: lines "pid GPU PID BYTES", "reasons GPU BITS", "used GPU BYTES",
 *                   "lost GPU" (every question about it then fails as for a GPU that fell off the bus)
 *   STANDIN_INIT    what nvmlInitWithFlags returns (9: the driver is not loaded)
 *   STANDIN_GPUS    number of GPUs, 3 without it
 *   STANDIN_NAME, STANDIN_CAPABILITY ("10.0"), STANDIN_MEMORY_GIB    of GPU 0; with STANDIN_CAPABILITY every GPU is GPU 0
 *
 * GPU 0  all that a data-centre card tells. It draws 300 W; its energy counter is CLOCK_MONOTONIC x 300 W.
 * GPU 1  an old card: NVML_ERROR_NOT_SUPPORTED for energy, utilization, persistence and application clocks, no _v2 of
 *        the memory; 100 W.
 * GPU 2  in MIG mode, with one instance.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13, LOST = 15 };
typedef struct { int gpu, instance; } device_t, *device;
static device_t devices[4] = {{0, 0}, {1, 0}, {2, 0}, {2, 1}};
static const char *uuids[4] = {"GPU-00000000-aaaa-0000-0000-000000000000", "GPU-11111111-bbbb-0000-0000-000000000000",
                               "GPU-22222222-cccc-0000-0000-000000000000", "MIG-33333333-dddd-0000-0000-000000000000"};

typedef struct { unsigned long long total, free, used; } memory_v1;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gi, ci; } process;

/* GiB of memory: of GPU 0 as it is told. */
static unsigned long long gib(device d, unsigned long long usual) {
    const char *told = d->gpu ? NULL : getenv("STANDIN_MEMORY_GIB");
    return told ? strtoull(told, NULL, 10) : usual;
}

/* The lines of the state file that start with `what` and this GPU; returns how many, the last one's values in a and b. */
static int state(const char *what, device d, unsigned long long *a, unsigned long long *b, process *into, int room) {
    const char *path = getenv("STANDIN_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[200], word[40];
    int found = 0, gpu;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long long x = 0, y = 0;
        if (sscanf(line, "%39s %d %llu %llu", word, &gpu, &x, &y) < 2 || strcmp(word, what) || gpu != d->gpu) continue;
        if (a) *a = x;
        if (b) *b = y;
        if (found < room) into[found] = (process){(unsigned)x, y, 0, 0};
        found++;
    }
    if (file) fclose(file);
    return found;
}
#define ALIVE(d) if (state("lost", d, NULL, NULL, NULL, 0)) return LOST
#define GIVE(target, value) do { *(target) = (value); return SUCCESS; } while (0)

int nvmlInitWithFlags(unsigned flags) { const char *code = getenv("STANDIN_INIT"); (void)flags; return code ? atoi(code) : 0; }
int nvmlInit(void) { return nvmlInitWithFlags(0); }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "stand-in error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "999.01"); return SUCCESS; }
int nvmlSystemGetNVMLVersion(char *text, unsigned size) { snprintf(text, size, "13.999.01"); return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { const char *n = getenv("STANDIN_GPUS"); GIVE(count, n ? atoi(n) : 3); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *d) {
    unsigned count;
    if (getenv("STANDIN_CAPABILITY")) { nvmlDeviceGetCount_v2(&count); if (index >= count) return NOT_FOUND; GIVE(d, &devices[0]); }
    if (index > 2) return NOT_FOUND;
    GIVE(d, &devices[index]);
}
int nvmlDeviceGetP2PStatus(device a, device b, int kind, int *status) { (void)a; (void)b; (void)kind; GIVE(status, 0); }
int nvmlDeviceGetHandleByUUID(const char *uuid, device *d) {
    for (int n = 0; n < 4; n++) if (!strcmp(uuid, uuids[n])) GIVE(d, &devices[n]);
    return NOT_FOUND;
}
int nvmlDeviceGetUUID(device d, char *text, unsigned size) { snprintf(text, size, "%s", uuids[d - devices]); return SUCCESS; }
int nvmlDeviceGetName(device d, char *text, unsigned size) {
    const char *name = d->gpu ? NULL : getenv("STANDIN_NAME");
    ALIVE(d);
    snprintf(text, size, "%s", name ? name : "Stand-in 100");
    return SUCCESS;
}
int nvmlDeviceGetMigMode(device d, unsigned *now, unsigned *next) { if (d->gpu != 2) return NOT_SUPPORTED; *next = 1; GIVE(now, 1); }
int nvmlDeviceGetMaxMigDeviceCount(device d, unsigned *count) { (void)d; GIVE(count, 7); }
int nvmlDeviceGetMigDeviceHandleByIndex(device d, unsigned slot, device *mig) {
    if (d->gpu != 2 || slot != 3) return NOT_FOUND;
    GIVE(mig, &devices[3]);
}
int nvmlDeviceGetPowerUsage(device d, unsigned *mw) { ALIVE(d); if (d->instance) return NOT_SUPPORTED; GIVE(mw, d->gpu == 1 ? 100000 : 300000); }
int nvmlDeviceGetTotalEnergyConsumption(device d, unsigned long long *mj) {
    struct timespec now;
    ALIVE(d);
    if (d->gpu == 1) return NOT_SUPPORTED;
    clock_gettime(CLOCK_MONOTONIC, &now);
    GIVE(mj, 300000ULL * now.tv_sec + 3ULL * (now.tv_nsec / 10000));
}
int nvmlDeviceGetClockInfo(device d, unsigned kind, unsigned *mhz) { ALIVE(d); GIVE(mhz, kind == 2 ? 2619 : 1410); }
int nvmlDeviceGetMaxClockInfo(device d, unsigned kind, unsigned *mhz) { ALIVE(d); GIVE(mhz, kind == 2 ? 2619 : 1980); }
int nvmlDeviceGetApplicationsClock(device d, unsigned kind, unsigned *mhz) { (void)kind; if (d->gpu) return NOT_SUPPORTED; GIVE(mhz, 1410); }
int nvmlDeviceGetDefaultApplicationsClock(device d, unsigned kind, unsigned *mhz) { (void)kind; if (d->gpu) return NOT_SUPPORTED; GIVE(mhz, 1980); }
int nvmlDeviceGetMemoryInfo_v2(device d, memory_v2 *memory) {
    unsigned long long used = d->instance ? 1ULL << 20 : 4ULL << 20;
    if (d->gpu == 1) return FUNCTION_NOT_FOUND;
    if (memory->version != (sizeof *memory | 2 << 24)) return 25;
    state("used", d, &used, NULL, NULL, 0);
    memory->total = gib(d, d->instance ? 10 : 80) << 30;
    memory->used = used;
    memory->reserved = 600ULL << 20;
    memory->free = memory->total - used;
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(device d, memory_v1 *memory) {
    ALIVE(d);
    *memory = (memory_v1){gib(d, 16) << 30, (gib(d, 16) - 1) << 30, 300ULL << 20};
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(device d, utilization *use) { if (d->gpu) return NOT_SUPPORTED; *use = (utilization){87, 40}; return SUCCESS; }
int nvmlDeviceGetTemperature(device d, unsigned sensor, unsigned *c) { (void)sensor; ALIVE(d); GIVE(c, 64); }
int nvmlDeviceGetCudaComputeCapability(device d, int *major, int *minor) {
    const char *told = d->gpu ? NULL : getenv("STANDIN_CAPABILITY");
    *major = d->gpu == 1 ? 7 : 9;
    *minor = 0;
    if (told && sscanf(told, "%d.%d", major, minor) != 2) return NOT_FOUND;
    return SUCCESS;
}
int nvmlDeviceGetEnforcedPowerLimit(device d, unsigned *mw) { (void)d; GIVE(mw, 500000); }
int nvmlDeviceGetPowerManagementDefaultLimit(device d, unsigned *mw) { (void)d; GIVE(mw, 700000); }
int nvmlDeviceGetPersistenceMode(device d, unsigned *on) { if (d->gpu) return NOT_SUPPORTED; GIVE(on, 1); }
/* As a driver before 535: the reasons have their old name only. */
int nvmlDeviceGetCurrentClocksThrottleReasons(device d, unsigned long long *bits) {
    ALIVE(d);
    *bits = 0;
    state("reasons", d, bits, NULL, NULL, 0);
    return SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device d, unsigned *count, process *into) {
    int there = state("pid", d, NULL, NULL, into, into ? (int)*count : 0);
    if (there && (!into || (unsigned)there > *count)) { *count = there; return INSUFFICIENT_SIZE; }
    GIVE(count, there);
}
