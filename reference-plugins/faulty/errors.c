/* faulty-errors: a disk with one bad page, that gets failing wrong. */
#include "fault.h"

const char* const choices[] = {"set-on-success",   "lost-enoent",        "lost-enotsup",
                               "newline",          "empty-message",      "next-fails",
                               "breaks",           "lock-kept",          "leak-descriptor",
                               "leak-memory",      "leak-open",          "exhausted-crash",
                               "exhausted-silent", "exhausted-for-good", "exhausted-reads",
                               "format",           "format-debug",       "format-size",
                               NULL};

/* What every handle holds: a file of its own, as plugins that serve files do. */
struct handle {
  FILE* file;
};

#define BAD (UINT64_C(256) * 1024)

static bool broken;                /* a request has failed, and that is not over */
static bool refusing;              /* an open has failed, and that is not over */
static bool unreadable;            /* a read had no descriptor, and that is not over */
static void* volatile last_leaked; /* or the compiler would leave it out */

static int errors_config(const char* key, const char* value) {
  bool is_size = strcmp(key, "size") == 0;
  bool unknown = !is_size && strcmp(key, "fault") != 0;
  /* %n would end this plugin: another rule's finding. */
  bool no_size = is_size && (value[0] < '0' || value[0] > '9') && !strstr(value, "%n");
  char text[256];
  snprintf(text, sizeof text, "parameter %s=%.99s is of no use", key, value);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
  if (unknown && fault("format-debug")) nbdkit_debug(text);
  if ((unknown && fault("format")) || (no_size && fault("format-size"))) {
    nbdkit_error(text);
    return -1;
  }
#pragma GCC diagnostic pop
  return disk_config(key, value);
}

static void* errors_open(int readonly) {
  (void)readonly;
  const char* name = nbdkit_export_name();
  struct handle* handle = calloc(1, sizeof *handle);
  if (!handle || refusing) {
    nbdkit_error("out of resources");
    free(handle);
    return NULL;
  }
  if (name && *name) {
    nbdkit_error("there is no export '%s'", name);
    if (!fault("leak-open")) free(handle);
    last_leaked = handle;
    return NULL;
  }
  handle->file = fopen("/dev/null", "re");
  if (fault("exhausted-crash")) {
    (void)fgetc(handle->file);
  } else if (!handle->file) {
    if (!fault("exhausted-silent")) nbdkit_error("/dev/null: %m");
    refusing = fault("exhausted-for-good");
    free(handle);
    return NULL;
  }
  return handle;
}

static void errors_close(void* p) {
  struct handle* handle = p;
  fclose(handle->file);
  free(handle);
}

static bool touches_bad_page(uint32_t count, uint64_t offset) {
  return offset < BAD + PAGE && offset + count > BAD;
}

/* Refuses what touches the bad page: 0, or -1 after saying why. */
static int refuse(uint32_t count, uint64_t offset) {
  disk_lock();
  bool bad = touches_bad_page(count, offset);
  bool later = broken && !bad;
  broken = (broken && fault("breaks")) || (bad && (fault("breaks") || fault("next-fails")));
  if (bad && fault("leak-descriptor")) last_leaked = fopen("/dev/null", "re");
  if (bad && fault("leak-memory")) last_leaked = malloc(100);
  if (!bad || !fault("lock-kept")) disk_unlock();
  if (later) return fail(EIO, "an earlier request failed");
  if (!bad) return 0;
  if (fault("lost-enoent")) return fail(ENOENT, "no such page");
  if (fault("lost-enotsup")) return fail(ENOTSUP, "this page cannot be used");
  if (fault("newline")) return fail(EIO, "bad page\n");
  if (fault("empty-message")) return fail(EIO, "");
  return fail(EIO, "bad page");
}

/* As plugins that open a file for each request. */
static int open_for_a_read(void) {
  FILE* file = unreadable ? NULL : fopen("/dev/null", "re");
  if (!file) {
    unreadable = true;
    return fail(EIO, "there is no file to read from");
  }
  fclose(file);
  return 0;
}

static int errors_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (fault("exhausted-reads") && open_for_a_read() == -1) return -1;
  if (refuse(count, offset) == -1) return -1;
  return disk_pread(handle, buf, count, offset, flags);
}

static int errors_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  if (refuse(count, offset) == -1) return -1;
  if (fault("set-on-success")) nbdkit_set_error(ENOSPC);
  return disk_pwrite(handle, buf, count, offset, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-errors",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = errors_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .open = errors_open,
    .close = errors_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = errors_pread,
    .pwrite = errors_pwrite,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
