/* faulty-lifecycle: a disk that gets starting, stopping and reporting wrong. */
#define _GNU_SOURCE
#include "fault.h"

#include <pthread.h>
#include <unistd.h>

const char* const choices[] = {"config-silent",
                               "config-accepts-all",
                               "config-crash-empty",
                               "config-modifies",
                               "complete-silent",
                               "ready-silent",
                               "after-fork-silent",
                               "open-silent",
                               "read-silent",
                               "dump-garbage",
                               "dump-needs-config",
                               "dump-model",
                               "unload-open",
                               "unload-thread",
                               "unload-ticker",
                               "ready-thread",
                               "preconnect-silent",
                               "errno-negative",
                               "no-errno",
                               NULL};

static unsigned open_count;
static bool configured;

static int lifecycle_config(const char* key, const char* value) {
  bool ours = strcmp(key, "size") == 0 || strcmp(key, "fault") == 0;
  if (!ours && fault("config-silent")) return -1;
  if (!ours && fault("config-accepts-all")) return 0;
  if (value[0] == '\0' && fault("config-crash-empty")) abort();
  int r = disk_config(key, value);
  /* Taking the value apart in place, as strtok would. */
  if (strcmp(key, "size") == 0 && fault("config-modifies")) *(char*)(uintptr_t)value = '\0';
  return r;
}

static int lifecycle_config_complete(void) {
  configured = true;
  return fault("complete-silent") ? -1 : 0;
}

static void* sleep_for_ever(void* unused) {
  (void)unused;
  for (;;) pause();
  return NULL;
}

static void* tick_for_ever(void* unused) {
  (void)unused;
  for (;;) usleep(500);
  return NULL;
}

static int start_thread(void* (*work)(void*)) {
  pthread_t thread;
  int r = pthread_create(&thread, NULL, work, NULL);
  if (r != 0) {
    nbdkit_error("pthread_create: %s", strerror(r));
    return -1;
  }
  pthread_detach(thread);
  return 0;
}

/* A thread that is started here is lost if nbdkit forks into the background. */
static int lifecycle_get_ready(void) {
  if (fault("ready-silent")) return -1;
  if (fault("ready-thread") && start_thread(sleep_for_ever) == -1) return -1;
  return disk_get_ready();
}

/* A thread that is never stopped outlives the code it runs. */
static int lifecycle_after_fork(void) {
  if (fault("after-fork-silent")) return -1;
  if (fault("unload-ticker")) return start_thread(tick_for_ever);
  return fault("unload-thread") ? start_thread(sleep_for_ever) : 0;
}

static int lifecycle_preconnect(int readonly) {
  (void)readonly;
  return fault("preconnect-silent") ? -1 : 0;
}

static void lifecycle_unload(void) {
  if (fault("unload-open") && open_count > 0) abort();
  disk_unload();
}

/* nbdkit asks before .get_ready, and for --dump-plugin without .config_complete. */
static int lifecycle_thread_model(void) {
  if (!fault("dump-model") || configured) return THREAD_MODEL;
  nbdkit_error("not configured yet");
  return -1;
}

static void lifecycle_dump_plugin(void) {
  if (fault("dump-garbage")) {
    printf("This plugin is very good.\n\n= 1\n");
    return;
  }
  if (fault("dump-needs-config") && !configured) abort();
  printf("faulty_lifecycle=yes\n");
}

static void* lifecycle_open(int readonly) {
  (void)readonly;
  if (fault("open-silent")) return NULL;
  open_count++;
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static void lifecycle_close(void* handle) {
  (void)handle;
  open_count--;
}

/* One page is bad, for the faults in how that is said. */
static bool bad_page(uint32_t count, uint64_t offset) {
  const uint64_t bad = UINT64_C(256) * 1024;
  return offset < bad + PAGE && offset + count > bad;
}

static int lifecycle_pread(void* handle, void* buf, uint32_t count, uint64_t offset,
                           uint32_t flags) {
  if (bad_page(count, offset)) {
    if (fault("read-silent")) {
      nbdkit_set_error(EIO);
      return -1;
    }
    if (fault("errno-negative")) return fail(-EIO, "bad sector");
    if (fault("no-errno")) {
      nbdkit_error("bad sector");
      return -1;
    }
  }
  return disk_pread(handle, buf, count, offset, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-lifecycle",
    .version = "0.1.0",
    .unload = lifecycle_unload,
    .config = lifecycle_config,
    .config_complete = lifecycle_config_complete,
    .config_help = DISK_CONFIG_HELP,
    .dump_plugin = lifecycle_dump_plugin,
    .thread_model = lifecycle_thread_model,
    .get_ready = lifecycle_get_ready,
    .after_fork = lifecycle_after_fork,
    .preconnect = lifecycle_preconnect,
    .open = lifecycle_open,
    .close = lifecycle_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = lifecycle_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
