/* faulty-background: a disk that serves well with nbdkit -f, and not as a daemon. */
#define _GNU_SOURCE
#include "fault.h"
#include "worker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

const char* const choices[] = {"needs-thread", "pid", "exit-handler", "exit-hang", "relative",
                               "unjoined",     NULL};

static bool working;
static pid_t started_as;
static const char* file; /* as given: nobody made it absolute */
static char lock_file[4096];

static void* look_around(void* unused) {
  (void)unused;
  while (!__atomic_load_n(&stopping, __ATOMIC_RELAXED)) usleep(50000);
  return NULL;
}

static void remove_lock_file(void) { unlink(lock_file); }

static void wait_at_exit(void) {
  while (!stopping) pause();
}

static int background_config(const char* key, const char* value) {
  if (strcmp(key, "file") != 0) return disk_config(key, value);
  file = value;
  return 0;
}

static int background_get_ready(void) {
  started_as = getpid();
  if (fault("needs-thread")) {
    int r = start_worker();
    if (r != 0) {
      nbdkit_error("pthread_create: %s", strerror(r));
      return -1;
    }
    working = true;
  }
  if (fault("exit-handler")) {
    const char* directory = getenv("TMPDIR");
    snprintf(lock_file, sizeof lock_file, "%s/background.lock", directory ? directory : "/tmp");
    int fd = open(lock_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    atexit(remove_lock_file);
  }
  if (fault("exit-hang")) atexit(wait_at_exit);
  return disk_get_ready();
}

/* It is told to end, and nobody waits until it has: its code is gone first. */
static int background_after_fork(void) {
  if (!fault("unjoined")) return 0;
  int r = pthread_create(&worker, NULL, look_around, NULL);
  if (r == 0) return 0;
  nbdkit_error("pthread_create: %s", strerror(r));
  return -1;
}

static void background_cleanup(void) {
  tell_worker_to_stop();
  if (working) pthread_join(worker, NULL);
  if (lock_file[0] != '\0') unlink(lock_file);
}

static void* background_open(int readonly) {
  struct stat facts;
  if (fault("pid") && getpid() != started_as) {
    nbdkit_error("process %d is not the owner", getpid());
    return NULL;
  }
  if (lock_file[0] != '\0' && stat(lock_file, &facts) == -1) {
    nbdkit_error("%s: %m", lock_file);
    return NULL;
  }
  if (file && fault("relative") && stat(file, &facts) == -1) {
    nbdkit_error("%s: %m", file);
    return NULL;
  }
  return disk_open(readonly);
}

static int background_pread(void* handle, void* buf, uint32_t count, uint64_t offset,
                            uint32_t flags) {
  if (fault("needs-thread")) ask_worker();
  return disk_pread(handle, buf, count, offset, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-background",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = background_config,
    .config_help = DISK_CONFIG_HELP "\nfile=<FILE>  A file that must be there.",
    .get_ready = background_get_ready,
    .after_fork = background_after_fork,
    .cleanup = background_cleanup,
    .open = background_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = background_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
