/* A disk in a file whose data are not as safe as it says, each in one way.
 *
 *   nbdkit ./faulty-durable.so file=disk.img fault=NAME
 */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#define CHOICE_KEY "fault"
#define CHOICE_DEFAULT "none"
#include "../filestore.h"

#include <limits.h>

const char* const choices[] = {
    "no-sync",       /* .flush does nothing */
    "wrong-file",    /* .flush syncs a file that is not the disk */
    "sync-first",    /* a cache, written back after the sync */
    "kept",          /* a cache that .flush does not write back, only .close does */
    "own-only",      /* a cache of which .flush writes back what its connection wrote */
    "own-sync",      /* .flush syncs only when its own connection has written */
    "xor-kept",      /* as kept, and the file is encoded: nobody can tell what a call writes */
    "xor-own",       /* as own-only, encoded */
    "xor-fua",       /* a cache, encoded, and .pwrite ignores FUA */
    "batch",         /* a cache of which .flush writes back eight pages at a time */
    "fua-page",      /* a cache of which .pwrite with FUA writes back the first page it met */
    "zero-clean",    /* a cache that does not know that a zero makes a page dirty */
    "short-flush",   /* a cache of which .flush takes a short write for a whole one */
    "stdio",         /* .flush syncs the file, and not what the C library has buffered */
    "mapping",       /* writes through a mapping, and no msync */
    "async",         /* the same with msync(MS_ASYNC), which does not wait */
    "range-only",    /* sync_file_range that starts writing and does not wait */
    "zero-unsynced", /* .flush syncs only if something was written, and a zero does not count */
    "fua-write",     /* .pwrite ignores FUA */
    "fua-rest",      /* what a short write left is written without FUA */
    "fua-zero",      /* .zero ignores FUA */
    "fua-trim",      /* .trim ignores FUA */
    "swallow",       /* .flush ignores that the sync failed */
    "swallow-fua",   /* .pwrite with FUA ignores it */
    "short-write",   /* takes a short write for a whole one */
    "short-read",    /* and a short read */
    "eintr",         /* takes an interrupted write for one that was made */
    "full",          /* says nothing when the disk is full */
    "lock-file",     /* will not start while its lock file exists */
    "readonly-mark", /* adds a sector to the file when it is opened read-only */
    NULL};

static inline bool fault(const char* name) { return chosen(name); }

static bool encodes(void) { return fault("xor-kept") || fault("xor-own") || fault("xor-fua"); }
static bool caches(void) {
  return encodes() || fault("sync-first") || fault("kept") || fault("own-only") || fault("batch") ||
         fault("fua-page") || fault("zero-clean") || fault("short-flush");
}
static bool maps(void) { return fault("mapping") || fault("async"); }

/* The whole disk in memory: the file mapped, or a cache of it. */
static uint8_t* memory;
static uint8_t* owner; /* of each dirty page of the cache, the connection; 0: clean */
static char* lock_path;
static int other_fd = -1;
static FILE* stream;
static bool written;
static bool written_by[256]; /* and not synced since */
static uint8_t next_connection = 1;

static void encode(uint8_t* data, size_t size) {
  for (size_t i = 0; i < size; i++) data[i] ^= 0x5a;
}

static int durable_get_ready(void) {
  if (store_open_file(0) == -1) return -1;
  if (fault("lock-file")) {
    if (asprintf(&lock_path, "%s.lock", store_path) == -1) return fail(ENOMEM, "asprintf");
    int fd = open(lock_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd == -1) {
      nbdkit_error("%s: %m: is another server running?", lock_path);
      return -1;
    }
    close(fd);
  }
  if (fault("wrong-file")) {
    char name[] = "/tmp/durable-XXXXXX";
    other_fd = mkostemp(name, O_CLOEXEC);
    unlink(name);
  }
  if (fault("stdio") && !(stream = fdopen(fcntl(store_fd, F_DUPFD_CLOEXEC, 0), "r+")))
    return fail(errno, "fdopen");
  if (maps()) {
    void* p = mmap(NULL, (size_t)store_size, PROT_READ | PROT_WRITE, MAP_SHARED, store_fd, 0);
    if (p == MAP_FAILED) return fail(ENOMEM, "mmap");
    memory = p;
  }
  if (caches()) {
    memory = malloc((size_t)store_size);
    owner = calloc((size_t)store_size / PAGE + 1, 1);
    if (!memory || !owner || store_read(memory, (size_t)store_size, 0) == -1)
      return fail(ENOMEM, "no memory for the cache");
    if (encodes()) encode(memory, (size_t)store_size);
  }
  return 0;
}

/* Of one connection, or 0: of all. */
static int write_back(uint8_t of) {
  unsigned left = fault("batch") ? 8 : UINT_MAX;
  for (uint64_t page = 0; page * PAGE < (uint64_t)store_size; page++) {
    if (owner[page] == 0 || (of != 0 && owner[page] != of)) continue;
    if (left-- == 0) break;
    uint64_t end = (page + 1) * PAGE;
    if (end > (uint64_t)store_size) end = (uint64_t)store_size;
    uint8_t data[PAGE];
    memcpy(data, memory + page * PAGE, end - page * PAGE);
    if (encodes()) encode(data, end - page * PAGE);
    if (fault("short-flush")) {
      if (pwrite(store_fd, data, end - page * PAGE, (off_t)(page * PAGE)) == -1)
        return fail(errno, "pwrite");
    } else if (store_write(data, end - page * PAGE, page * PAGE) == -1) {
      return -1;
    }
    owner[page] = 0;
  }
  return 0;
}

static void* durable_open(int readonly) {
  if (readonly && fault("readonly-mark") && ftruncate(store_fd, store_size + 512) == -1) {
    nbdkit_error("ftruncate: %m");
    return NULL;
  }
  uint8_t* h = malloc(1);
  *h = next_connection;
  if (++next_connection == 0) next_connection = 1;
  return h;
}

static void durable_close(void* handle) {
  if (caches()) write_back(0);
  free(handle);
}

static void durable_unload(void) {
  if (maps() && memory) munmap(memory, (size_t)store_size);
  if (caches()) {
    free(memory);
    free(owner);
  }
  if (lock_path) unlink(lock_path);
  free(lock_path);
  if (other_fd != -1) close(other_fd);
  if (stream) fclose(stream);
  store_unload();
}

static int durable_fua(void* handle) {
  (void)handle;
  if (fault("xor-fua") || fault("fua-page")) return NBDKIT_FUA_NATIVE;
  return caches() || fault("stdio") ? NBDKIT_FUA_EMULATE : NBDKIT_FUA_NATIVE;
}

static int durable_flush(void* handle, uint32_t flags) {
  (void)flags;
  if (fault("no-sync") || fault("mapping")) return 0;
  if (fault("zero-unsynced") && !written) return 0;
  if (fault("wrong-file")) return fdatasync(other_fd);
  if (fault("async"))
    return msync(memory, (size_t)store_size, MS_ASYNC) == -1 ? fail(errno, "msync") : 0;
  if (fault("range-only")) return sync_file_range(store_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  uint8_t self = *(uint8_t*)handle;
  if (fault("own-sync") && !written_by[self]) return 0;
  written_by[self] = false;
  if ((fault("own-only") || fault("xor-own")) && write_back(self) == -1) return -1;
  bool writes_back = fault("xor-fua") || fault("batch") || fault("fua-page") ||
                     fault("zero-clean") || fault("short-flush");
  if (writes_back && write_back(0) == -1) return -1;
  if (fault("swallow")) {
    (void)!fdatasync(store_fd);
    return 0;
  }
  if (store_sync() == -1) return -1;
  written = false;
  if (fault("sync-first")) return write_back(0);
  return 0;
}

/* FUA is native where nothing is cached. */
static int when_fua(void* handle, uint32_t flags, const char* ignores) {
  if (!(flags & NBDKIT_FLAG_FUA) || fault(ignores) || fault("xor-fua")) return 0;
  if (maps()) return msync(memory, (size_t)store_size, MS_SYNC) == -1 ? fail(errno, "msync") : 0;
  (void)handle;
  if (fault("swallow-fua")) {
    (void)!fdatasync(store_fd);
    return 0;
  }
  return store_sync();
}

static int durable_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  if (memory) {
    memcpy(buf, memory + offset, count);
    return 0;
  }
  if (stream) {
    if (fseeko(stream, (off_t)offset, SEEK_SET) == 0 && fread(buf, 1, count, stream) == count)
      return 0;
    clearerr(stream);
    return fail(EIO, "fread");
  }
  if (fault("short-read")) {
    memset(buf, 0, count);
    return pread(store_fd, buf, count, (off_t)offset) == -1 ? fail(errno, "pread") : 0;
  }
  return store_read(buf, count, offset);
}

static int write_once(const void* buf, uint32_t count, uint64_t offset) {
  ssize_t r = pwrite(store_fd, buf, count, (off_t)offset);
  if (r == -1 && ((fault("eintr") && errno == EINTR) || (fault("full") && errno == ENOSPC)))
    return 0;
  if (r == -1) return fail(errno, "pwrite");
  if ((uint32_t)r == count || fault("short-write")) return 0;
  return store_write((const uint8_t*)buf + r, count - (uint32_t)r, offset + (uint64_t)r);
}

static int durable_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  written = written_by[*(uint8_t*)handle] = true;
  if (memory) {
    memcpy(memory + offset, buf, count);
    if (fault("fua-page") && (flags & NBDKIT_FLAG_FUA)) {
      uint64_t end = offset / PAGE * PAGE + PAGE < offset + count ? offset / PAGE * PAGE + PAGE
                                                                  : offset + count;
      if (store_write(buf, end - offset, offset) == -1) return -1;
    }
    for (uint64_t page = offset / PAGE; owner && page * PAGE < offset + count; page++)
      owner[page] = *(uint8_t*)handle;
    return when_fua(handle, flags, "fua-write");
  }
  if (stream) {
    if (fseeko(stream, (off_t)offset, SEEK_SET) == 0 && fwrite(buf, 1, count, stream) == count)
      return 0;
    int e = errno;
    clearerr(stream);
    return fail(e, "fwrite");
  }
  if (fault("fua-rest") && (flags & NBDKIT_FLAG_FUA)) {
    struct iovec all = {.iov_base = (void*)buf, .iov_len = count};
    ssize_t r = pwritev2(store_fd, &all, 1, (off_t)offset, RWF_DSYNC);
    if (r == -1) return fail(errno, "pwritev2");
    return store_write((const uint8_t*)buf + r, count - (uint32_t)r, offset + (uint64_t)r);
  }
  bool once = fault("short-write") || fault("eintr") || fault("full");
  if ((once ? write_once(buf, count, offset) : store_write(buf, count, offset)) == -1) return -1;
  return when_fua(handle, flags, "fua-write");
}

static int durable_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  if (fault("zero-clean")) {
    memset(memory + offset, 0, count);
    return 0;
  }
  if (memory || stream || store_punch(count, offset) == -1) { /* let nbdkit write zeroes */
    errno = EOPNOTSUPP;
    return -1;
  }
  written_by[*(uint8_t*)handle] = true;
  return when_fua(handle, flags, "fua-zero");
}

static int durable_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  if (memory || stream || store_punch(count, offset) == -1) return 0; /* trim is a hint */
  return when_fua(handle, flags, "fua-trim");
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-durable",
    .version = "0.1.0",
    .unload = durable_unload,
    .config = store_config,
    .config_complete = store_config_complete,
    .config_help = "file=<FILE>  The disk.\n" DISK_CONFIG_HELP,
    .magic_config_key = "file",
    .get_ready = durable_get_ready,
    .open = durable_open,
    .close = durable_close,
    .get_size = store_get_size,
    .can_multi_conn = disk_yes,
    .can_fua = durable_fua,
    .pread = durable_pread,
    .pwrite = durable_pwrite,
    .flush = durable_flush,
    .trim = durable_trim,
    .zero = durable_zero,
    .errno_is_preserved = 1,
};
NBDKIT_REGISTER_PLUGIN(plugin)
