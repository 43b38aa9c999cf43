/* What the plugins that keep their disk in a file share: the parameter file=,
 * the file itself, and careful reading and writing. The parameters of disk.h
 * work as well, but the size is that of the file. Includes disk.h, so define
 * CHOICE_KEY and CHOICE_DEFAULT before.
 */
#ifndef REFERENCE_PLUGINS_FILESTORE_H
#define REFERENCE_PLUGINS_FILESTORE_H

#define _GNU_SOURCE /* fallocate, pwritev2, syncfs */
#include "disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char* store_path; /* file=, absolute */
static int store_fd = -1;
static int64_t store_size;

static inline int store_config(const char* key, const char* value) {
  if (strcmp(key, "file") != 0) return disk_config(key, value);
  free(store_path);
  store_path = nbdkit_realpath(value);
  return store_path ? 0 : -1;
}

static inline int store_config_complete(void) {
  if (store_path) return 0;
  nbdkit_error("the file parameter is required");
  return -1;
}

static inline int store_open_file(int flags) {
  struct stat st;
  store_fd = open(store_path, O_RDWR | O_CLOEXEC | flags);
  if (store_fd == -1 || fstat(store_fd, &st) == -1) {
    nbdkit_error("%s: %m", store_path);
    return -1;
  }
  store_size = st.st_size;
  return 0;
}

static inline void store_unload(void) {
  if (store_fd != -1) close(store_fd);
  store_fd = -1;
  free(store_path);
  store_path = NULL;
}

static inline int64_t store_get_size(void* handle) {
  (void)handle;
  return store_size;
}

static inline int store_read(void* buf, size_t count, uint64_t offset) {
  uint8_t* to = buf;
  while (count > 0) {
    ssize_t r = pread(store_fd, to, count, (off_t)offset);
    if (r == -1 && errno == EINTR) continue;
    if (r == -1) {
      nbdkit_error("pread: %m");
      return -1;
    }
    if (r == 0) return fail(EIO, "unexpected end of file");
    to += r;
    offset += (uint64_t)r;
    count -= (size_t)r;
  }
  return 0;
}

static inline int write_fully(int fd, const void* buf, size_t count, uint64_t offset) {
  const uint8_t* from = buf;
  while (count > 0) {
    ssize_t r = pwrite(fd, from, count, (off_t)offset);
    if (r == -1 && errno == EINTR) continue;
    if (r == -1) {
      nbdkit_error("pwrite: %m");
      return -1;
    }
    from += r;
    offset += (uint64_t)r;
    count -= (size_t)r;
  }
  return 0;
}

static inline int store_write(const void* buf, size_t count, uint64_t offset) {
  return write_fully(store_fd, buf, count, offset);
}

static inline int store_sync(void) {
  if (fdatasync(store_fd) == 0) return 0;
  nbdkit_error("fdatasync: %m");
  return -1;
}

static inline int store_punch(uint32_t count, uint64_t offset) {
  int r;
  do r = fallocate(store_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                   (off_t)count);
  while (r == -1 && errno == EINTR);
  return r;
}

#endif
