/* filedisk: a file or block device as a disk, with real durability.
 *
 *   nbdkit ./filedisk.so file=disk.img
 *
 * Each connection opens the file itself. They share the kernel's page cache and
 * fdatasync reaches all of it, so what is flushed on one is stable for all:
 * that is what lets can_multi_conn say yes.
 */
#define _GNU_SOURCE /* fallocate, SEEK_DATA */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nbdkit-plugin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static char* filename; /* file=, absolute: the server may change directory later */

struct handle {
  int fd;
  bool can_write;
};

static void filedisk_unload(void) {
  free(filename);
  filename = NULL;
}

static int filedisk_config(const char* key, const char* value) {
  if (strcmp(key, "file") == 0) {
    char* path = nbdkit_absolute_path(value);
    if (!path) return -1;
    free(filename);
    filename = path;
    return 0;
  }
  nbdkit_error("unknown parameter '%s'", key);
  return -1;
}

static int filedisk_config_complete(void) {
  if (!filename) {
    nbdkit_error("the file parameter is required: which file shall be served?");
    return -1;
  }
  return 0;
}

/* Fail before serving rather than at the first connection. */
static int filedisk_get_ready(void) {
  struct stat st;
  if (stat(filename, &st) == -1) {
    nbdkit_error("%s: %m", filename);
    return -1;
  }
  if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
    nbdkit_error("%s: neither a file nor a block device", filename);
    return -1;
  }
  return 0;
}

static void* filedisk_open(int readonly) {
  struct handle* h = malloc(sizeof *h);
  if (!h) {
    nbdkit_error("malloc: %m");
    return NULL;
  }
  h->can_write = !readonly;
  h->fd = open(filename, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);
  if (h->fd == -1 && !readonly && (errno == EACCES || errno == EPERM || errno == EROFS)) {
    nbdkit_debug("%s: %m; serving it read-only", filename);
    h->can_write = false;
    h->fd = open(filename, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  }
  if (h->fd == -1) {
    nbdkit_error("%s: %m", filename);
    free(h);
    return NULL;
  }
  return h;
}

static void filedisk_close(void* handle) {
  struct handle* h = handle;
  close(h->fd);
  free(h);
}

/* lseek and not st_size, which is 0 for a block device. */
static int64_t filedisk_get_size(void* handle) {
  struct handle* h = handle;
  off_t end = lseek(h->fd, 0, SEEK_END);
  if (end == -1) nbdkit_error("%s: lseek: %m", filename);
  return end;
}

static int filedisk_can_write(void* handle) {
  struct handle* h = handle;
  return h->can_write;
}

static int filedisk_yes(void* handle) {
  (void)handle;
  return 1;
}

static int filedisk_can_fua(void* handle) {
  (void)handle;
  return NBDKIT_FUA_NATIVE;
}

/* An empty file has no position to seek to: ENXIO there does not mean "cannot". */
static int filedisk_can_extents(void* handle) {
  struct handle* h = handle;
  return lseek(h->fd, 0, SEEK_HOLE) != -1 || errno == ENXIO;
}

static int filedisk_flush(void* handle, uint32_t flags) {
  struct handle* h = handle;
  (void)flags;
  if (fdatasync(h->fd) == -1) {
    nbdkit_error("%s: fdatasync: %m", filename);
    return -1;
  }
  return 0;
}

static int flush_if_fua(void* handle, uint32_t flags) {
  return flags & NBDKIT_FLAG_FUA ? filedisk_flush(handle, 0) : 0;
}

static int filedisk_pread(void* handle, void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  struct handle* h = handle;
  uint8_t* to = buf;
  (void)flags;
  while (count > 0) {
    ssize_t r = pread(h->fd, to, count, (off_t)offset);
    if (r == -1) {
      if (errno == EINTR) continue;
      nbdkit_error("%s: pread: %m", filename);
      return -1;
    }
    if (r == 0) {
      nbdkit_error("%s: unexpected end of file: did someone truncate it?", filename);
      errno = EIO;
      return -1;
    }
    to += r;
    offset += (uint64_t)r;
    count -= (uint32_t)r;
  }
  return 0;
}

static int filedisk_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                           uint32_t flags) {
  struct handle* h = handle;
  const uint8_t* from = buf;
  while (count > 0) {
    ssize_t r = pwrite(h->fd, from, count, (off_t)offset);
    if (r == -1) {
      if (errno == EINTR) continue;
      nbdkit_error("%s: pwrite: %m", filename);
      return -1;
    }
    from += r;
    offset += (uint64_t)r;
    count -= (uint32_t)r;
  }
  return flush_if_fua(handle, flags);
}

/* fallocate until it is not interrupted. ENOSYS and ENODEV are other names of
 * "this file cannot": map them to the one errno that callers look for. */
static int try_fallocate(int fd, int mode, uint64_t offset, uint32_t count) {
  int r;
  do r = fallocate(fd, mode, (off_t)offset, (off_t)count);
  while (r == -1 && errno == EINTR);
  if (r == -1 && (errno == ENOSYS || errno == ENODEV)) errno = EOPNOTSUPP;
  return r;
}

static int filedisk_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  int r = try_fallocate(h->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, count);
  if (r == -1 && errno != EOPNOTSUPP) { /* else: trim is a hint, doing nothing is right */
    nbdkit_error("%s: fallocate: %m", filename);
    return -1;
  }
  return flush_if_fua(handle, flags);
}

/* Failing with EOPNOTSUPP makes nbdkit write zeroes instead, or, for a fast
 * zero, tell the client. Neither deserves an error message. */
static int filedisk_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  int mode = flags & NBDKIT_FLAG_MAY_TRIM ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                          : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  if (try_fallocate(h->fd, mode, offset, count) == -1) {
    if (errno != EOPNOTSUPP) nbdkit_error("%s: fallocate: %m", filename);
    return -1;
  }
  return flush_if_fua(handle, flags);
}

static int filedisk_extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
                            struct nbdkit_extents* extents) {
  struct handle* h = handle;
  uint64_t end = offset + count;
  while (offset < end) {
    off_t data = lseek(h->fd, (off_t)offset, SEEK_DATA);
    if (data == -1 && errno == ENXIO) data = (off_t)end; /* a hole up to the end */
    if (data == -1) {
      nbdkit_error("%s: lseek: %m", filename);
      return -1;
    }
    if ((uint64_t)data > offset) {
      if (nbdkit_add_extent(extents, offset, (uint64_t)data - offset,
                            NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO) == -1)
        return -1;
      if (flags & NBDKIT_FLAG_REQ_ONE) return 0;
    }
    if ((uint64_t)data >= end) return 0;
    off_t hole = lseek(h->fd, data, SEEK_HOLE);
    if (hole == -1) {
      nbdkit_error("%s: lseek: %m", filename);
      return -1;
    }
    if (nbdkit_add_extent(extents, (uint64_t)data, (uint64_t)(hole - data), 0) == -1) return -1;
    if ((flags & NBDKIT_FLAG_REQ_ONE) && hole > data) return 0;
    offset = (uint64_t)hole;
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "filedisk",
    .longname = "nbdcheck reference file disk",
    .version = "0.1.0",
    .description = "A file or block device as a disk",
    .unload = filedisk_unload,
    .config = filedisk_config,
    .config_complete = filedisk_config_complete,
    .config_help = "file=<FILE>  (required) The file or block device to serve.",
    .magic_config_key = "file",
    .get_ready = filedisk_get_ready,
    .open = filedisk_open,
    .close = filedisk_close,
    .get_size = filedisk_get_size,
    .can_write = filedisk_can_write,
    .can_multi_conn = filedisk_yes,
    .can_fua = filedisk_can_fua,
    .can_fast_zero = filedisk_yes,
    .can_extents = filedisk_can_extents,
    .pread = filedisk_pread,
    .pwrite = filedisk_pwrite,
    .flush = filedisk_flush,
    .trim = filedisk_trim,
    .zero = filedisk_zero,
    .extents = filedisk_extents,
    .errno_is_preserved = 1, /* nbdkit_error keeps errno */
};
NBDKIT_REGISTER_PLUGIN(plugin)
