/* legal-log: what it does is written to a file, which is no part of the disk.
 *
 *   log=<FILE>   made when it is not there; what it holds stays
 *   mode=anew    it begins anew with each start
 *        once    nbdkit is asked to quit when its first client leaves
 */
#include <fcntl.h>
#include <unistd.h>

#include "mode.h"

const char* const choices[] = {"anew", "once", NULL};

static char* path = NULL;
static int file = -1;

static void note(const char* what) {
  /* A line at once: several clients may write. */
  char line[64];
  int length = snprintf(line, sizeof line, "%s\n", what);
  if (file >= 0 && write(file, line, (size_t)length) != length) nbdkit_debug("log: %m");
}

static int log_config(const char* key, const char* value) {
  if (strcmp(key, "log") != 0) return disk_config(key, value);
  free(path);
  path = nbdkit_absolute_path(value);
  return path ? 0 : -1;
}

static int log_get_ready(void) {
  if (path) {
    file =
        open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (mode("anew") ? O_TRUNC : 0), 0666);
    if (file == -1) {
      nbdkit_error("open: %s: %m", path);
      return -1;
    }
  }
  return disk_get_ready();
}

static void* log_open(int readonly) {
  note("open");
  return disk_open(readonly);
}

static void log_close(void* handle) {
  (void)handle;
  note("close");
  if (mode("once")) nbdkit_shutdown();
}

static void log_unload(void) {
  if (file >= 0) close(file);
  free(path);
  disk_unload();
}

static struct nbdkit_plugin plugin = {
    .name = "legal-log",
    .version = "0.1.0",
    .unload = log_unload,
    .config = log_config,
    .config_help = DISK_CONFIG_HELP "\nlog=<FILE>\nmode=plain|anew|once",
    .get_ready = log_get_ready,
    .open = log_open,
    .close = log_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
