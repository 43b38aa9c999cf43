/* legal-single: can be served once at a time on a machine, as what has a device, a
 * port or a fixed socket can. Here it is a lock on its own file.
 *
 * at=start|open: when it takes the lock, until .unload or .close
 * at=wait: as at=start, and waits for it
 * at=scratch: it takes none, and has its data in one file beside it, cleared when
 * it starts
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

const char* const choices[] = {"start", "open", "wait", "scratch", NULL};

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
  if (lock >= 0 && flock(lock, chosen("wait") ? LOCK_EX : LOCK_EX | LOCK_NB) == 0) return 0;
  nbdkit_error("%s is in use: %m", self.dli_fname);
  if (lock >= 0) close(lock);
  lock = -1;
  return -1;
}

static void give_back(void) {
  if (lock >= 0) close(lock);
  lock = -1;
}

/* The disk is that file's contents from here on. */
static int use_scratch(void) {
  char path[4096];
  Dl_info self;
  if (!dladdr(choices, &self)) return -1;
  snprintf(path, sizeof path, "%s.scratch", self.dli_fname);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd == -1 || ftruncate(fd, disk_size) == -1 ||
      mmap(disk, (size_t)disk_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
          MAP_FAILED) {
    nbdkit_error("%s: %m", path);
    if (fd >= 0) close(fd);
    return -1;
  }
  close(fd);
  memset(disk, 0, (size_t)disk_size);
  return 0;
}

static int single_get_ready(void) {
  if ((chosen("start") || chosen("wait")) && take_lock() == -1) return -1;
  if (disk_get_ready() == -1) return -1;
  return chosen("scratch") ? use_scratch() : 0;
}

static void single_unload(void) {
  give_back();
  disk_unload();
}

static void* single_open(int readonly) {
  disk_lock();
  const int r = chosen("scratch") ? 0 : take_lock();
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
