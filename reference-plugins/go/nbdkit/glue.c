/* Callbacks as nbdkit declares them.  A handle is a number of cgo.Handle, never
 * a Go pointer: nbdkit keeps it where the garbage collector does not look.
 */
#include "glue.h"

#include <stdio.h>

#include "_cgo_export.h"

static uintptr_t number(void *handle) { return (uintptr_t)handle; }

static void glue_load(void) { goLoad(); }
static void glue_unload(void) { goUnload(); }
static int glue_config(const char *key, const char *value) {
  return goConfig((char *)key, (char *)value);
}
static int glue_config_complete(void) { return goConfigComplete(); }
static int glue_get_ready(void) { return goGetReady(); }
static int glue_after_fork(void) { return goAfterFork(); }
static void glue_cleanup(void) { goCleanup(); }
static int glue_preconnect(int readonly) { return goPreConnect(readonly); }
static int glue_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports) {
  return goListExports(readonly, is_tls, exports);
}
static const char *glue_default_export(int readonly, int is_tls) {
  return goDefaultExport(readonly, is_tls);
}
static int glue_thread_model(void) { return goThreadModel(); }
static void glue_dump_plugin(void) { goDumpPlugin(); }

static void *glue_open(int readonly) { return (void *)goOpen(readonly); }
static void glue_close(void *handle) { goClose(number(handle)); }
static int64_t glue_get_size(void *handle) { return goGetSize(number(handle)); }
static const char *glue_export_description(void *handle) {
  return goExportDescription(number(handle));
}
static int glue_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
                           uint32_t *maximum) {
  return goBlockSize(number(handle), minimum, preferred, maximum);
}

#define CAN(name, go) \
  static int glue_##name(void *handle) { return go(number(handle)); }
CAN(can_write, goCanWrite)
CAN(can_flush, goCanFlush)
CAN(can_trim, goCanTrim)
CAN(can_zero, goCanZero)
CAN(can_fast_zero, goCanFastZero)
CAN(can_extents, goCanExtents)
CAN(can_multi_conn, goCanMultiConn)
CAN(can_fua, goCanFUA)
CAN(can_cache, goCanCache)
CAN(is_rotational, goIsRotational)

static int glue_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags) {
  return goPRead(number(handle), buf, count, offset, flags);
}
static int glue_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  return goPWrite(number(handle), (void *)buf, count, offset, flags);
}
static int glue_flush(void *handle, uint32_t flags) { return goFlush(number(handle), flags); }
static int glue_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags) {
  return goTrim(number(handle), count, offset, flags);
}
static int glue_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags) {
  return goZero(number(handle), count, offset, flags);
}
static int glue_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags) {
  return goCache(number(handle), count, offset, flags);
}
static int glue_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                        struct nbdkit_extents *extents) {
  return goExtents(number(handle), count, offset, flags, extents);
}

/* All callbacks of a connection are there, since nobody knows yet what .open
 * will return; the can_* answer for it.
 */
static struct nbdkit_plugin plugin = {
    ._struct_size = sizeof plugin,
    ._api_version = NBDKIT_API_VERSION,
    ._thread_model = NBDKIT_THREAD_MODEL_PARALLEL,
    .open = glue_open,
    .close = glue_close,
    .get_size = glue_get_size,
    .export_description = glue_export_description,
    .block_size = glue_block_size,
    .can_write = glue_can_write,
    .can_flush = glue_can_flush,
    .can_trim = glue_can_trim,
    .can_zero = glue_can_zero,
    .can_fast_zero = glue_can_fast_zero,
    .can_extents = glue_can_extents,
    .can_multi_conn = glue_can_multi_conn,
    .can_fua = glue_can_fua,
    .can_cache = glue_can_cache,
    .is_rotational = glue_is_rotational,
    .pread = glue_pread,
    .pwrite = glue_pwrite,
    .flush = glue_flush,
    .trim = glue_trim,
    .zero = glue_zero,
    .cache = glue_cache,
    .extents = glue_extents,
};

struct nbdkit_plugin *glue_plugin(uint32_t callbacks) {
#define USE(bit, name) \
  if (callbacks & (bit)) plugin.name = glue_##name
  USE(GLUE_LOAD, load);
  USE(GLUE_UNLOAD, unload);
  USE(GLUE_CONFIG, config);
  USE(GLUE_CONFIG_COMPLETE, config_complete);
  USE(GLUE_GET_READY, get_ready);
  USE(GLUE_AFTER_FORK, after_fork);
  USE(GLUE_CLEANUP, cleanup);
  USE(GLUE_PRECONNECT, preconnect);
  USE(GLUE_LIST_EXPORTS, list_exports);
  USE(GLUE_DEFAULT_EXPORT, default_export);
  USE(GLUE_THREAD_MODEL, thread_model);
  USE(GLUE_DUMP_PLUGIN, dump_plugin);
  return &plugin;
}

void glue_error(const char *message) { nbdkit_error("%s", message); }
void glue_debug(const char *message) { nbdkit_debug("%s", message); }
void glue_field(const char *key, const char *value) { printf("%s=%s\n", key, value); }
