/* Disks in a file that are safe in ways other than "write, then fdatasync", or
 * that promise less. One mode each:
 *
 *   nbdkit ./legal-durable.so file=disk.img mode=NAME
 */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#define CHOICE_KEY "mode"
#define CHOICE_DEFAULT "plain"
#include "../../filestore.h"

const char* const choices[] = {
    "cache",      /* written back by .flush, which then syncs */
    "dsync",      /* O_DSYNC, and .flush has nothing to do */
    "rwf",        /* the same for each write by pwritev2 */
    "mapping",    /* stored through a mapping, msync in .flush */
    "background", /* another thread syncs, .flush waits for it */
    "other-fd",   /* the sync goes through another descriptor of the file */
    "ranges",     /* sync_file_range, complete, of what was written */
    "filesystem", /* syncfs */
    "replace",    /* the disk in memory; .flush writes a new file and renames it over the old */
    "journal",    /* what is written goes to a synced journal first, and to the disk some day */
    "log",        /* keeps a log beside the disk, which is never synced */
    "no-flush",   /* promises nothing and syncs nothing */
    "memory",     /* reads the file once; what is written is kept in memory only */
    "temporary",  /* every connection works on a copy that goes away with it */
    "lock",       /* a lock file, but one that is locked and not just there */
    NULL};

static inline bool mode(const char* name) { return chosen(name); }

static uint8_t* memory; /* cache, mapping, replace, journal, memory: the disk as it is to be read */
static uint8_t* dirty;  /* pages of it that the file does not have */
static int side_fd = -1; /* journal, log or lock */
static char* side_path;

static bool copies(void) {
  return mode("cache") || mode("replace") || mode("journal") || mode("memory");
}

static int open_side(const char* suffix, int flags) {
  if (asprintf(&side_path, "%s.%s", store_path, suffix) == -1) return fail(ENOMEM, "asprintf");
  side_fd = open(side_path, flags | O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (side_fd == -1) nbdkit_error("%s: %m", side_path);
  return side_fd == -1 ? -1 : 0;
}

/* A record of the journal is a header and the data. */
struct record {
  char magic[8];
  uint64_t offset;
  uint32_t count;
} __attribute__((packed)); /* 20 bytes: what follows is not aligned */

static off_t journal_end;

static int replay(void) {
  struct record r;
  off_t at = 0;
  while (pread(side_fd, &r, sizeof r, at) == sizeof r && memcmp(r.magic, "JOURNAL", 8) == 0 &&
         r.offset <= (uint64_t)store_size && r.count <= (uint64_t)store_size - r.offset) {
    if (pread(side_fd, memory + r.offset, r.count, at + (off_t)sizeof r) != (ssize_t)r.count) break;
    at += (off_t)sizeof r + r.count;
  }
  journal_end = at;
  if (at == 0) return 0;
  return store_write(memory, (size_t)store_size, 0) == -1 || store_sync() == -1 ? -1 : 0;
}

static int journal(const void* buf, uint32_t count, uint64_t offset) {
  struct record r = {.magic = "JOURNAL", .offset = offset, .count = count};
  if (write_fully(side_fd, &r, sizeof r, (uint64_t)journal_end) == -1 ||
      write_fully(side_fd, buf, count, (uint64_t)journal_end + sizeof r) == -1)
    return -1;
  journal_end += (off_t)sizeof r + count;
  return 0;
}

/* --- the thread that syncs --- */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t thread;
static bool thread_runs, wanted, done, stop;
static int result;

static void* syncer(void* unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  while (!stop) {
    if (wanted) {
      result = fdatasync(store_fd) == -1 ? errno : 0;
      wanted = false;
      done = true;
      pthread_cond_broadcast(&changed);
    }
    pthread_cond_wait(&changed, &mutex);
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static int sync_by_thread(void) {
  pthread_mutex_lock(&mutex);
  wanted = true;
  done = false;
  pthread_cond_broadcast(&changed);
  while (!done) pthread_cond_wait(&changed, &mutex);
  int error = result;
  pthread_mutex_unlock(&mutex);
  return error == 0 ? 0 : fail(error, "fdatasync");
}

/* --- callbacks --- */
static int durable_get_ready(void) {
  if (store_open_file(mode("dsync") ? O_DSYNC : 0) == -1) return -1;
  if (mode("journal") && open_side("journal", 0) == -1) return -1;
  if (mode("log") && open_side("log", O_APPEND) == -1) return -1;
  if (mode("lock")) {
    struct flock lock = {.l_type = F_WRLCK};
    if (open_side("lock", 0) == -1) return -1;
    if (fcntl(side_fd, F_SETLK, &lock) == -1) return fail(errno, "another server has the disk");
  }
  if (copies()) {
    memory = malloc((size_t)store_size + 1);
    dirty = calloc((size_t)store_size / PAGE + 1, 1);
    if (!memory || !dirty || store_read(memory, (size_t)store_size, 0) == -1)
      return fail(ENOMEM, "no memory for the disk");
  }
  if (mode("journal")) return replay();
  if (mode("mapping")) {
    void* p = mmap(NULL, (size_t)store_size, PROT_READ | PROT_WRITE, MAP_SHARED, store_fd, 0);
    if (p == MAP_FAILED) return fail(ENOMEM, "mmap");
    memory = p;
  }
  return 0;
}

static int durable_after_fork(void) {
  thread_runs = mode("background") && pthread_create(&thread, NULL, syncer, NULL) == 0;
  return 0;
}

static void durable_unload(void) {
  if (thread_runs) {
    pthread_mutex_lock(&mutex);
    stop = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
  }
  if (mode("mapping") && memory) munmap(memory, (size_t)store_size);
  if (copies()) free(memory);
  free(dirty);
  if (side_fd != -1) close(side_fd);
  free(side_path);
  store_unload();
}

/* Each connection's own file, for mode=temporary. */
static void* durable_open(int readonly) {
  (void)readonly;
  if (!mode("temporary")) return NBDKIT_HANDLE_NOT_NEEDED;
  FILE* copy = tmpfile();
  int* fd = malloc(sizeof *fd);
  void* all = malloc((size_t)store_size + 1);
  if (!copy || !fd || !all || store_read(all, (size_t)store_size, 0) == -1 ||
      write_fully(fileno(copy), all, (size_t)store_size, 0) == -1) {
    nbdkit_error("cannot make a copy");
    if (copy) fclose(copy);
    free(fd);
    free(all);
    return NULL;
  }
  *fd = fcntl(fileno(copy), F_DUPFD_CLOEXEC, 0);
  fclose(copy);
  free(all);
  return fd;
}

static void durable_close(void* handle) {
  if (!mode("temporary")) return;
  close(*(int*)handle);
  free(handle);
}

static int durable_can_flush(void* handle) {
  (void)handle;
  return !mode("no-flush");
}

static int durable_can_fua(void* handle) {
  (void)handle;
  return mode("no-flush") ? NBDKIT_FUA_NONE : NBDKIT_FUA_EMULATE;
}

static int durable_can_multi_conn(void* handle) {
  (void)handle;
  return !mode("temporary");
}

static int replace_file(void) {
  char* name;
  if (asprintf(&name, "%s.new", store_path) == -1) return fail(ENOMEM, "asprintf");
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  int r = fd == -1 || write_fully(fd, memory, (size_t)store_size, 0) == -1 || fsync(fd) == -1 ||
                  rename(name, store_path) == -1
              ? fail(EIO, "cannot write the new file")
              : 0;
  free(name);
  if (fd != -1) close(fd);
  return r;
}

static int write_back(void) {
  for (uint64_t page = 0; page * PAGE < (uint64_t)store_size; page++) {
    uint64_t end = (page + 1) * PAGE;
    if (!dirty[page]) continue;
    if (end > (uint64_t)store_size) end = (uint64_t)store_size;
    if (store_write(memory + page * PAGE, end - page * PAGE, page * PAGE) == -1) return -1;
    dirty[page] = 0;
  }
  return 0;
}

static int durable_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  if (mode("dsync") || mode("memory") || mode("temporary")) return 0;
  if (mode("rwf")) { /* it is all there already: this may fail */
    (void)!fdatasync(store_fd);
    return 0;
  }
  if (mode("mapping"))
    return msync(memory, (size_t)store_size, MS_SYNC) == -1 ? fail(errno, "msync") : 0;
  if (mode("background")) return sync_by_thread();
  if (mode("replace")) return replace_file();
  if (mode("journal")) return fdatasync(side_fd) == -1 ? fail(errno, "fdatasync") : 0;
  if (mode("filesystem")) return syncfs(store_fd) == -1 ? fail(errno, "syncfs") : 0;
  if (mode("ranges")) {
    unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    return sync_file_range(store_fd, 0, 0, all) == -1 ? fail(errno, "sync_file_range") : 0;
  }
  if (mode("other-fd")) {
    int fd = open(store_path, O_RDONLY | O_CLOEXEC);
    int r = fd == -1 || fsync(fd) == -1 ? fail(errno, "fsync") : 0;
    if (fd != -1) close(fd);
    return r;
  }
  if (mode("cache") && write_back() == -1) return -1;
  return store_sync();
}

static int durable_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)flags;
  if (mode("temporary"))
    return pread(*(int*)handle, buf, count, (off_t)offset) == (ssize_t)count ? 0
                                                                             : fail(EIO, "pread");
  if (!memory) return store_read(buf, count, offset);
  memcpy(buf, memory + offset, count);
  return 0;
}

static int durable_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  (void)flags;
  if (mode("temporary")) return write_fully(*(int*)handle, buf, count, offset);
  if (mode("log")) dprintf(side_fd, "write of %u bytes at %lu\n", count, (unsigned long)offset);
  if (mode("journal") && journal(buf, count, offset) == -1) return -1;
  if (memory) {
    memcpy(memory + offset, buf, count);
    for (uint64_t page = offset / PAGE; dirty && page * PAGE < offset + count; page++)
      dirty[page] = 1;
    return mode("journal") ? store_write(buf, count, offset) : 0;
  }
  if (mode("rwf")) {
    struct iovec all = {(void*)(uintptr_t)buf, count};
    return pwritev2(store_fd, &all, 1, (off_t)offset, RWF_DSYNC) == (ssize_t)count
               ? 0
               : fail(EIO, "pwritev2");
  }
  return store_write(buf, count, offset);
}

static struct nbdkit_plugin plugin = {
    .name = "legal-durable",
    .version = "0.1.0",
    .unload = durable_unload,
    .config = store_config,
    .config_complete = store_config_complete,
    .config_help = "file=<FILE>  The disk.\n" DISK_CONFIG_HELP,
    .magic_config_key = "file",
    .get_ready = durable_get_ready,
    .after_fork = durable_after_fork,
    .open = durable_open,
    .close = durable_close,
    .get_size = store_get_size,
    .can_flush = durable_can_flush,
    .can_fua = durable_can_fua,
    .can_multi_conn = durable_can_multi_conn,
    .pread = durable_pread,
    .pwrite = durable_pwrite,
    .flush = durable_flush,
    .errno_is_preserved = 1,
};
NBDKIT_REGISTER_PLUGIN(plugin)
