/* faulty-slow: a disk that keeps others waiting longer than it must. */
#include "fault.h"

#include <time.h>

const char* const choices[] = {"sleep-read",   "sleep-flush",  "preconnect",
                               "history-read", "history-open", NULL};

static unsigned writes;

/* Not interrupted by a shutdown, as nbdkit_nanosleep would be. */
static void doze(unsigned milliseconds) {
  struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
  nanosleep(&time, NULL);
}

/* Looks through all that was ever written, and again for each of it; but no more than a test can
 * wait for. */
static void search_history(void) {
  const long n = writes < 1200 ? (long)writes : 1200;
  const struct timespec time = {0, 40 * n * n};
  nanosleep(&time, NULL);
}

static int slow_preconnect(int readonly) {
  (void)readonly;
  if (fault("preconnect")) doze(150);
  return 0;
}

static void* slow_open(int readonly) {
  if (fault("history-open")) search_history();
  return disk_open(readonly);
}

static int slow_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (fault("sleep-read") && offset == 0) doze(400); /* the first track is slow to find */
  if (fault("history-read")) search_history();
  return disk_pread(handle, buf, count, offset, flags);
}

static int slow_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  writes++;
  return disk_pwrite(handle, buf, count, offset, flags);
}

static int slow_flush(void* handle, uint32_t flags) {
  if (fault("sleep-flush")) doze(400);
  return disk_flush(handle, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-slow",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .preconnect = slow_preconnect,
    .open = slow_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = slow_pread,
    .pwrite = slow_pwrite,
    .flush = slow_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
