/* legal-single: can be served once at a time on a machine, as what has a device, a
 * port or a fixed socket can. Here it is a lock on its own file.
 *
 * at=start|open: when it takes the lock, until .unload or .close
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define CHOICE_KEY "at"
#define CHOICE_DEFAULT "start"
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#include "../../disk.h"

const char* const choices[] = {"start", "open", NULL};

static int lock = -1;
static unsigned handles;

static int take_lock(void) {
  Dl_info self;
  if (lock >= 0) return 0;
  if (!dladdr(choices, &self)) {
    nbdkit_error("dladdr: where is this plugin?");
    return -1;
  }
  lock = open(self.dli_fname, O_RDONLY | O_CLOEXEC);
  if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0) return 0;
  nbdkit_error("%s is in use: %m", self.dli_fname);
  if (lock >= 0) close(lock);
  lock = -1;
  return -1;
}

static void give_back(void) {
  if (lock >= 0) close(lock);
  lock = -1;
}

static int single_get_ready(void) {
  if (chosen("start") && take_lock() == -1) return -1;
  return disk_get_ready();
}

static void single_unload(void) {
  give_back();
  disk_unload();
}

static void* single_open(int readonly) {
  disk_lock();
  const int r = take_lock();
  if (r == 0) handles++;
  disk_unlock();
  return r == 0 ? disk_open(readonly) : NULL;
}

static void single_close(void* handle) {
  (void)handle;
  disk_lock();
  if (--handles == 0 && chosen("open")) give_back();
  disk_unlock();
}

static struct nbdkit_plugin plugin = {
    .name = "legal-single",
    .version = "0.1.0",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = single_get_ready,
    .unload = single_unload,
    .open = single_open,
    .close = single_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
