/* faulty-shrunk: a file as a disk, that does not expect it to become smaller. */
#define _GNU_SOURCE
#include "fault.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

const char* const choices[] = {"mapped", "zeroes",        "short", "away-for-good",
                               "limit",  "refusal-leaks", NULL};

static char* filename; /* absolute */
static int fd = -1;
static uint8_t* mapped;
static size_t mapped_size;

static int shrunk_config(const char* key, const char* value) {
  if (strcmp(key, "file") != 0) return disk_config(key, value);
  free(filename);
  filename = nbdkit_realpath(value);
  return filename ? 0 : -1;
}

static int shrunk_config_complete(void) {
  if (filename) return 0;
  nbdkit_error("file= is required");
  return -1;
}

static int shrunk_get_ready(void) {
  struct stat st;
  fd = open(filename, O_RDWR | O_CLOEXEC);
  if (fd == -1 || fstat(fd, &st) == -1) {
    nbdkit_error("%s: %m", filename);
    return -1;
  }
  disk_size = st.st_size;
  if (!fault("mapped")) return 0;
  mapped_size = (size_t)st.st_size;
  void* p = mmap(NULL, mapped_size, PROT_READ, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) {
    nbdkit_error("mmap: %m");
    return -1;
  }
  mapped = p;
  return 0;
}

static void shrunk_unload(void) {
  if (mapped) munmap(mapped, mapped_size);
  if (fd >= 0) close(fd);
  free(filename);
}

static int shrunk_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  if (mapped) {
    memcpy(buf, mapped + offset, count);
    return 0;
  }
  uint8_t* to = buf;
  while (count > 0) {
    ssize_t r = pread(fd, to, count, (off_t)offset);
    if (r == -1 && errno == EINTR) continue;
    if (r == -1) return fail(errno, "pread");
    if (r == 0) {
      if (fault("zeroes")) memset(to, 0, count);
      return fault("zeroes") || fault("short") ? 0 : fail(EIO, "unexpected end of file");
    }
    to += r;
    offset += (uint64_t)r;
    count -= (uint32_t)r;
  }
  return 0;
}

static int shrunk_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                         uint32_t flags) {
  (void)handle;
  (void)flags;
  const uint8_t* from = buf;
  while (count > 0) {
    ssize_t r = pwrite(fd, from, count, (off_t)offset);
    if (r == -1 && errno == EINTR) continue;
    if (r == -1 && errno == EFBIG && fault("limit")) return 0;
    if (r == -1) return fail(errno, "pwrite");
    from += r;
    offset += (uint64_t)r;
    count -= (uint32_t)r;
  }
  return 0;
}

/* Looks whether the file is still there, and never forgets that it was not. */
static void* shrunk_open(int readonly) {
  static bool gone;
  if (fault("away-for-good") && access(filename, F_OK) == -1) gone = true;
  if (fault("refusal-leaks")) {
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (access(filename, F_OK) == -1) {
      nbdkit_error("%s: %m", filename);
      return NULL; /* and null is still open */
    }
    if (null >= 0) close(null);
  }
  if (!gone) return disk_open(readonly);
  nbdkit_error("%s: %m", filename);
  return NULL;
}

static int shrunk_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  return fdatasync(fd) == 0 ? 0 : fail(errno == EINTR ? EIO : errno, "fdatasync");
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-shrunk",
    .version = "0.1.0",
    .unload = shrunk_unload,
    .config = shrunk_config,
    .config_complete = shrunk_config_complete,
    .get_ready = shrunk_get_ready,
    .open = shrunk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = shrunk_pread,
    .pwrite = shrunk_pwrite,
    .flush = shrunk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
