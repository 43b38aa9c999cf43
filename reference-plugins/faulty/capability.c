/* faulty-capability: a disk that gets wrong what it says about itself. */
#include "fault.h"

const char* const choices[] = {"write-2",
                               "trim-2",
                               "multi-conn-minus-2",
                               "rotational-7",
                               "fua-7",
                               "fua-minus-2",
                               "cache-9",
                               "cache-minus-2",
                               "trim-changes",
                               "size-changes",
                               "size-negative",
                               "size-silent",
                               "can-write-silent",
                               "block-min-3",
                               "block-order",
                               "block-max",
                               "block-unset",
                               "block-silent",
                               "block-allocates",
                               "block-changes",
                               "readonly-writes",
                               "default-too-long",
                               "description-too-long",
                               "exports-duplicate",
                               "exports-unopenable",
                               "thread-model-minus-2",
                               "thread-model-7",
                               "thread-model-silent",
                               NULL};

static unsigned can_trim_calls, get_size_calls;
static void* allocated; /* for block-allocates, where the first request counts on it */

static void* capability_open(int readonly) {
  if (readonly && fault("readonly-writes")) disk[0] ^= 0xff;
  if (fault("exports-unopenable")) {
    const char* name = nbdkit_export_name();
    if (!name || strcmp(name, "listed") == 0) {
      nbdkit_error("this export is listed, but cannot be opened");
      return NULL;
    }
  }
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t capability_get_size(void* handle) {
  (void)handle;
  get_size_calls++;
  if (fault("size-negative")) return -5;
  if (fault("size-silent")) return -1;
  if (fault("size-changes")) return disk_size - 512 * (int64_t)(get_size_calls % 2);
  return disk_size;
}

static int capability_can_write(void* handle) {
  (void)handle;
  if (fault("can-write-silent")) return -1;
  return fault("write-2") ? 2 : 1;
}

static int capability_can_trim(void* handle) {
  (void)handle;
  can_trim_calls++;
  if (fault("trim-2")) return 2;
  return fault("trim-changes") ? (int)(can_trim_calls % 2) : 1;
}

static int capability_is_rotational(void* handle) {
  (void)handle;
  return fault("rotational-7") ? 7 : 0;
}

static int capability_can_multi_conn(void* handle) {
  (void)handle;
  return fault("multi-conn-minus-2") ? -2 : 1;
}

static int capability_can_fua(void* handle) {
  (void)handle;
  if (fault("fua-7")) return 7;
  if (fault("fua-minus-2")) return -2;
  return NBDKIT_FUA_EMULATE;
}

static int capability_can_cache(void* handle) {
  (void)handle;
  if (fault("cache-9")) return 9;
  if (fault("cache-minus-2")) return -2;
  return NBDKIT_CACHE_EMULATE;
}

static int capability_block_size(void* handle, uint32_t* minimum, uint32_t* preferred,
                                 uint32_t* maximum) {
  (void)handle;
  static uint32_t calls;
  if (fault("block-silent")) return -1;
  free(allocated);
  allocated = malloc(PAGE);
  if (fault("block-changes") && calls++ % 2) {
    *minimum = 1;
    *preferred = 8192;
    *maximum = UINT32_MAX;
    return 0;
  }
  *minimum = fault("block-min-3") ? 3 : fault("block-order") ? 8192 : 1;
  *preferred = 4096;
  if (!fault("block-unset")) *maximum = fault("block-max") ? 2048 : UINT32_MAX;
  return 0;
}

/* An exact 4097-byte string: one byte more than NBD can carry. */
static const char* too_long(void) {
  static char text[4098];
  memset(text, 'x', sizeof text - 1);
  return text;
}

static int capability_list_exports(int readonly, int is_tls, struct nbdkit_exports* exports) {
  (void)readonly;
  (void)is_tls;
  if (nbdkit_add_export(exports, "listed", NULL) == -1) return -1;
  return fault("exports-duplicate") ? nbdkit_add_export(exports, "listed", NULL) : 0;
}

static const char* capability_default_export(int readonly, int is_tls) {
  (void)readonly;
  (void)is_tls;
  if (fault("exports-unopenable")) return "unlisted";
  return fault("default-too-long") ? too_long() : "listed";
}

static const char* capability_export_description(void* handle) {
  (void)handle;
  return fault("description-too-long") ? too_long() : "a disk";
}

static int capability_pread(void* handle, void* buf, uint32_t count, uint64_t offset,
                            uint32_t flags) {
  if (fault("block-allocates") && !allocated) abort();
  return disk_pread(handle, buf, count, offset, flags);
}

static void capability_unload(void) {
  free(allocated);
  allocated = NULL;
  disk_unload();
}

static int capability_thread_model(void) {
  if (fault("thread-model-minus-2")) return -2;
  if (fault("thread-model-7")) return 7;
  if (fault("thread-model-silent")) return -1;
  return NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS;
}

static int capability_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  return disk_zero(handle, count, offset, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-capability",
    .version = "0.1.0",
    .unload = capability_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .thread_model = capability_thread_model,
    .get_ready = disk_get_ready,
    .list_exports = capability_list_exports,
    .default_export = capability_default_export,
    .open = capability_open,
    .get_size = capability_get_size,
    .export_description = capability_export_description,
    .block_size = capability_block_size,
    .can_write = capability_can_write,
    .can_trim = capability_can_trim,
    .is_rotational = capability_is_rotational,
    .can_multi_conn = capability_can_multi_conn,
    .can_fua = capability_can_fua,
    .can_cache = capability_can_cache,
    .pread = capability_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
    .trim = capability_trim,
};
NBDKIT_REGISTER_PLUGIN(plugin)
