/* exports: several disks in memory, each under a name of its own.
 *
 *   nbdkit ./exports.so export=root:16M description="system disk" export=swap:1M
 *
 * The first export is the default one, which a client that names none gets.
 */
#define NBDKIT_API_VERSION 2
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS

#define MAX_EXPORTS 64
#define MAX_NAME 255

struct disk {
  char name[MAX_NAME + 1];
  const char* description; /* NULL, or the parameter's value, which outlives us */
  int64_t size;
  uint8_t* bytes;
  pthread_mutex_t lock; /* the thread model only serialises within a connection */
};

static struct disk disks[MAX_EXPORTS];
static size_t disk_count;

static void exports_unload(void) {
  for (size_t i = 0; i < disk_count; i++) {
    free(disks[i].bytes);
    pthread_mutex_destroy(&disks[i].lock);
  }
  disk_count = 0;
}

static struct disk* find(const char* name, size_t length) {
  for (size_t i = 0; i < disk_count; i++)
    if (strlen(disks[i].name) == length && memcmp(disks[i].name, name, length) == 0)
      return &disks[i];
  return NULL;
}

/* NAME:SIZE. The name may itself have colons. */
static int add_export(const char* value) {
  const char* colon = strrchr(value, ':');
  size_t length = colon ? (size_t)(colon - value) : 0;
  if (length == 0 || length > MAX_NAME) {
    nbdkit_error("export=%s: expected NAME:SIZE, the name of 1 to %d bytes", value, MAX_NAME);
    return -1;
  }
  if (find(value, length)) {
    nbdkit_error("export=%s: the name is given twice", value);
    return -1;
  }
  if (disk_count == MAX_EXPORTS) {
    nbdkit_error("export=%s: at most %d exports are possible", value, MAX_EXPORTS);
    return -1;
  }
  int64_t size = nbdkit_parse_size(colon + 1); /* has said why when it fails */
  if (size == -1) return -1;
  struct disk* d = &disks[disk_count++];
  memcpy(d->name, value, length);
  d->name[length] = '\0';
  d->size = size;
  d->description = NULL;
  d->bytes = NULL;
  pthread_mutex_init(&d->lock, NULL);
  return 0;
}

static int exports_config(const char* key, const char* value) {
  if (strcmp(key, "export") == 0) return add_export(value);
  if (strcmp(key, "description") == 0) {
    if (disk_count == 0) {
      nbdkit_error("description=%s: there is no export before it to describe", value);
      return -1;
    }
    disks[disk_count - 1].description = value;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

static int exports_config_complete(void) {
  if (disk_count == 0) {
    nbdkit_error("at least one export=NAME:SIZE is required");
    return -1;
  }
  return 0;
}

static int exports_get_ready(void) {
  for (size_t i = 0; i < disk_count; i++) {
    /* One byte more: calloc(0) may answer NULL. */
    disks[i].bytes =
        (uint64_t)disks[i].size < SIZE_MAX ? calloc((size_t)disks[i].size + 1, 1) : NULL;
    if (!disks[i].bytes) {
      nbdkit_error("export %s: cannot allocate %" PRIi64 " bytes", disks[i].name, disks[i].size);
      return -1;
    }
  }
  return 0;
}

static int exports_list_exports(int readonly, int is_tls, struct nbdkit_exports* exports) {
  (void)readonly;
  (void)is_tls;
  for (size_t i = 0; i < disk_count; i++)
    if (nbdkit_add_export(exports, disks[i].name, disks[i].description) == -1) return -1;
  return 0;
}

static const char* exports_default_export(int readonly, int is_tls) {
  (void)readonly;
  (void)is_tls;
  return disks[0].name;
}

/* The name comes from the client: compare it, never trust it. */
static void* exports_open(int readonly) {
  (void)readonly;
  const char* name = nbdkit_export_name();
  if (!name) return NULL; /* the server has said why */
  struct disk* d = find(name, strlen(name));
  if (!d) nbdkit_error("there is no export of the name the client asked for");
  return d;
}

static int64_t exports_get_size(void* handle) {
  const struct disk* d = handle;
  return d->size;
}

static const char* exports_export_description(void* handle) {
  const struct disk* d = handle;
  return d->description;
}

static int exports_can_multi_conn(void* handle) {
  (void)handle;
  return 1;
}

static int exports_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct disk* d = handle;
  (void)flags;
  pthread_mutex_lock(&d->lock);
  memcpy(buf, d->bytes + offset, count);
  pthread_mutex_unlock(&d->lock);
  return 0;
}

static int exports_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  struct disk* d = handle;
  (void)flags;
  pthread_mutex_lock(&d->lock);
  memcpy(d->bytes + offset, buf, count);
  pthread_mutex_unlock(&d->lock);
  return 0;
}

static int exports_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "exports",
    .longname = "nbdcheck reference plugin with several exports",
    .version = "0.1.0",
    .description = "Several disks in memory, each under a name of its own",
    .unload = exports_unload,
    .config = exports_config,
    .config_complete = exports_config_complete,
    .config_help =
        "export=<NAME>:<SIZE>  (required, repeatable) A disk; the first is the default.\n"
        "description=<TEXT>    What the export before it is.",
    .get_ready = exports_get_ready,
    .list_exports = exports_list_exports,
    .default_export = exports_default_export,
    .open = exports_open,
    .get_size = exports_get_size,
    .export_description = exports_export_description,
    .can_multi_conn = exports_can_multi_conn,
    .pread = exports_pread,
    .pwrite = exports_pwrite,
    .flush = exports_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
