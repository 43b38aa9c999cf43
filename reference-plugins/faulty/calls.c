/* faulty-calls: a disk that uses nbdkit, its buffers or its process in ways that are not its to
 * use. */
#define _GNU_SOURCE
#include "fault.h"

#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

const char* const choices[] = {
    "other-list",  "early-sleep", "early-name", "true-returned", "list-index",
    "model-moves", "odd-read",    "odd-write",  "contents-move", "readonly-needs",
    "forked-copy", "kept-data",   "null-list",  "free-extents",  "contents-settle",
    "early-tls",   NULL};

/* nbdkit declares these in <nbdkit-filter.h> only. */
struct nbdkit_extent {
  uint64_t offset;
  uint64_t length;
  uint32_t type;
};
typedef struct nbdkit_extent (*get_extent)(const struct nbdkit_extents*, size_t);
typedef void (*free_extents)(struct nbdkit_extents*);

static struct nbdkit_extents* first_list;
static bool asked_write;
static unsigned reads;
static bool counter_written;
static const void* kept_source;
static uint32_t kept_count;
static uint64_t kept_offset;

#define COUNTER UINT64_C(700001)

/* What a vector instruction does that needs an aligned address. */
static void misaligned(const void* buf) {
  if ((uintptr_t)buf % 16 == 0) return;
#if defined(__x86_64__)
  __asm__ volatile("movaps (%0), %%xmm0" ::"r"(buf) : "xmm0");
#else
  raise(SIGBUS);
#endif
}

static int calls_thread_model(void) {
  static int calls;
  return fault("model-moves") && calls++ % 2 == 1 ? NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS
                                                  : THREAD_MODEL;
}

static int calls_get_ready(void) {
  if (fault("early-sleep") && nbdkit_nanosleep(0, 1000) == -1) return -1;
  return disk_get_ready();
}

static int calls_after_fork(void) {
  /* Meant as "yes, it worked". */
  return fault("true-returned") ? 1 : 0;
}

/* The name of the export is known from .open on. */
static int calls_preconnect(int readonly) {
  (void)readonly;
  if (fault("early-name")) {
    const char* name = nbdkit_export_name();
    nbdkit_debug("a client of %s", name ? name : "nothing");
  }
  if (fault("early-tls")) nbdkit_debug("TLS: %d", nbdkit_is_tls());
  return 0;
}

static void* calls_open(int readonly) {
  asked_write = false;
  return disk_open(readonly);
}

static int calls_can_write(void* handle) {
  asked_write = true;
  return disk_yes(handle);
}

static int calls_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (fault("readonly-needs") && !asked_write)
    return fail(EIO, "nobody has asked whether this disk can be written");
  if (fault("odd-read")) misaligned(buf);
  int r = disk_pread(handle, buf, count, offset, flags);
  /* A counter that shows through: it starts late, where nobody has written yet. */
  if (fault("contents-move") && ++reads > 100 && offset <= COUNTER && offset + count > COUNTER &&
      !counter_written)
    ((uint8_t*)buf)[COUNTER - offset] = (uint8_t)reads;
  /* What is there is found only after it was asked for. */
  if (fault("contents-settle") && offset <= COUNTER && offset + count > COUNTER && ++reads > 1)
    ((uint8_t*)buf)[COUNTER - offset] = 0xee;
  if (fault("forked-copy")) {
    /* A helper that nobody waits for, and that forgets to leave. */
    static bool forked;
    if (!forked) {
      forked = true;
      if (fork() == -1) return fail(errno, "fork: %m");
    }
  }
  return r;
}

static int calls_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                        uint32_t flags) {
  if (offset <= COUNTER && offset + count > COUNTER) counter_written = true;
  if (fault("odd-write")) misaligned(buf);
  if (fault("kept-data")) {
    /* A write-back cache that keeps the pointer, not the data. */
    if (kept_source) memcpy(disk + kept_offset, kept_source, kept_count);
    kept_source = buf;
    kept_count = count;
    kept_offset = offset;
  }
  return disk_pwrite(handle, buf, count, offset, flags);
}

static int calls_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                         struct nbdkit_extents* extents) {
  (void)handle;
  (void)flags;
  if (!first_list) first_list = extents;
  if (fault("null-list")) return nbdkit_add_extent(NULL, offset, count, 0);
  if (nbdkit_add_extent(fault("other-list") ? first_list : extents, offset, count, 0) == -1)
    return -1;
  if (fault("list-index")) {
    get_extent get = (get_extent)(uintptr_t)dlsym(RTLD_DEFAULT, "nbdkit_get_extent");
    if (get) (void)get(extents, 1000);
  }
  if (fault("free-extents")) {
    free_extents done = (free_extents)(uintptr_t)dlsym(RTLD_DEFAULT, "nbdkit_extents_free");
    if (done) done(extents);
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-calls",
    .version = "0.1.0",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .thread_model = calls_thread_model,
    .get_ready = calls_get_ready,
    .after_fork = calls_after_fork,
    .preconnect = calls_preconnect,
    .unload = disk_unload,
    .open = calls_open,
    .get_size = disk_get_size,
    .can_write = calls_can_write,
    .can_multi_conn = disk_yes,
    .pread = calls_pread,
    .pwrite = calls_pwrite,
    .flush = disk_flush,
    .extents = calls_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
