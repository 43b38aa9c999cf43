/* faulty-races-life: what is set up by the first request or connection, and
 * what the last one takes away.
 */
#include "races.h"

const char* const choices[] = {"lazy",      "lazy-flag",   "lazy-lock",   "last-close",
                               "open-slot", "handle-list", "close-frees", NULL};

#define SLOTS 64U
#define LONGEST 4096U

struct handle {
  struct handle* volatile next;
  unsigned slot;
  /* What was written last and is not on the disk yet. */
  pthread_mutex_t mutex;
  uint64_t offset;
  uint32_t count;
  uint8_t data[LONGEST];
};

static pthread_mutex_t life_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t* volatile lazy_mutex;
static volatile int started;
static uint8_t* volatile lazy_disk; /* made by the first request */
static volatile int users;
static uint8_t* volatile mapping; /* of the disk, while there are users */
static volatile unsigned next_slot;
static uint8_t slots[SLOTS][LONGEST];
static struct handle* volatile handles;
static uint8_t* volatile shared_buffer; /* of all connections */

static bool lazy(void) { return fault("lazy") || fault("lazy-flag") || fault("lazy-lock"); }

static uint8_t* make_disk(void) {
  uint8_t* made = calloc(1, (size_t)disk_size + 1);
  if (made) memset(made, 0, (size_t)disk_size); /* as if it were read from somewhere */
  return made;
}

static void start_lazily(void) {
  if (fault("lazy")) {
    if (!lazy_disk) lazy_disk = make_disk();
  } else if (fault("lazy-flag")) {
    if (started) return;
    started = 1;
    lazy_disk = make_disk();
  } else if (fault("lazy-lock")) {
    /* The lock itself is made by whoever comes first. */
    if (!lazy_mutex) {
      pthread_mutex_t* made = malloc(sizeof *made);
      pthread_mutex_init(made, NULL);
      lazy_mutex = made;
    }
    pthread_mutex_t* mine = lazy_mutex;
    pthread_mutex_lock(mine);
    if (!lazy_disk) lazy_disk = make_disk();
    pthread_mutex_unlock(mine);
  }
}

static int life_thread_model(void) {
  return fault("open-slot") ? NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS : NBDKIT_THREAD_MODEL_PARALLEL;
}

static void* life_open(int readonly) {
  (void)readonly;
  struct handle* h = calloc(1, sizeof *h);
  if (!h) {
    nbdkit_error("calloc: %m");
    return NULL;
  }
  pthread_mutex_init(&h->mutex, NULL);
  if (fault("last-close")) {
    int n = users;
    if (n == 0) mapping = disk;
    users = n + 1;
  }
  if (fault("open-slot")) {
    unsigned n = next_slot;
    h->slot = n % SLOTS;
    next_slot = n + 1;
  }
  bool locked = !fault("handle-list");
  if (locked) pthread_mutex_lock(&life_mutex);
  h->next = handles;
  handles = h;
  if (!shared_buffer) shared_buffer = malloc(LONGEST);
  if (locked) pthread_mutex_unlock(&life_mutex);
  return h;
}

/* The mutex of the handle is held. */
static void settle(struct handle* h) {
  disk_lock();
  memcpy(disk + h->offset, h->data, h->count);
  disk_unlock();
  h->count = 0;
}

/* What a later write replaces must not come back. */
static void settle_others(struct handle* mine, uint64_t offset, uint32_t count) {
  bool locked = !fault("handle-list");
  if (locked) pthread_mutex_lock(&life_mutex);
  for (struct handle* h = handles; h; h = h->next) {
    if (h == mine) continue;
    pthread_mutex_lock(&h->mutex);
    if (h->count && h->offset < offset + count && offset < h->offset + h->count) settle(h);
    pthread_mutex_unlock(&h->mutex);
  }
  if (locked) pthread_mutex_unlock(&life_mutex);
}

static void life_close(void* handle) {
  struct handle* h = handle;
  if (fault("last-close")) {
    int n = users - 1;
    users = n;
    if (n == 0) mapping = NULL;
  }
  bool locked = !fault("handle-list");
  if (locked) pthread_mutex_lock(&life_mutex);
  if (handles == h) {
    handles = h->next;
  } else {
    for (struct handle* other = handles; other; other = other->next) {
      if (other->next != h) continue;
      other->next = h->next;
      break;
    }
  }
  if (fault("close-frees")) {
    /* Nobody else is here, it seems. */
    free(shared_buffer);
    shared_buffer = handles ? malloc(LONGEST) : NULL;
  }
  if (locked) pthread_mutex_unlock(&life_mutex);
  settle(h);
  pthread_mutex_destroy(&h->mutex);
  free(h);
}

static int by_slot(struct handle* h, uint8_t* to, const uint8_t* from, uint32_t count) {
  while (count > 0) {
    uint32_t n = count < LONGEST ? count : LONGEST;
    memcpy(slots[h->slot], from, n);
    memcpy(to, slots[h->slot], n);
    to += n;
    from += n;
    count -= n;
  }
  return 0;
}

static int by_shared_buffer(uint8_t* to, const uint8_t* from, uint32_t count) {
  while (count > 0) {
    uint32_t n = count < LONGEST ? count : LONGEST;
    disk_lock();
    uint8_t* buffer = shared_buffer;
    memcpy(buffer, from, n);
    memcpy(to, buffer, n);
    disk_unlock();
    to += n;
    from += n;
    count -= n;
  }
  return 0;
}

static int life_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct handle* h = handle;
  start_lazily();
  if (fault("open-slot")) return by_slot(h, buf, disk + offset, count);
  if (fault("close-frees")) return by_shared_buffer(buf, disk + offset, count);
  pthread_mutex_lock(&h->mutex);
  settle(h);
  pthread_mutex_unlock(&h->mutex);
  if (!lazy() && !fault("last-close")) return disk_pread(handle, buf, count, offset, flags);
  disk_lock();
  memcpy(buf, (lazy() ? lazy_disk : mapping) + offset, count);
  disk_unlock();
  return 0;
}

static int life_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                       uint32_t flags) {
  struct handle* h = handle;
  start_lazily();
  if (fault("open-slot")) return by_slot(h, disk + offset, buf, count);
  if (fault("close-frees")) return by_shared_buffer(disk + offset, buf, count);
  if (lazy() || fault("last-close")) {
    disk_lock();
    memcpy((lazy() ? lazy_disk : mapping) + offset, buf, count);
    disk_unlock();
    return 0;
  }
  settle_others(h, offset, count);
  pthread_mutex_lock(&h->mutex);
  settle(h);
  if (count <= LONGEST) {
    memcpy(h->data, buf, count);
    h->offset = offset;
    h->count = count;
  }
  pthread_mutex_unlock(&h->mutex);
  return count <= LONGEST ? 0 : disk_pwrite(handle, buf, count, offset, flags);
}

/* What the handles hold goes to the disk. */
static int life_flush(void* handle, uint32_t flags) {
  (void)handle;
  (void)flags;
  bool locked = !fault("handle-list");
  if (locked) pthread_mutex_lock(&life_mutex);
  for (struct handle* h = handles; h; h = h->next) {
    pthread_mutex_lock(&h->mutex);
    settle(h);
    pthread_mutex_unlock(&h->mutex);
  }
  if (locked) pthread_mutex_unlock(&life_mutex);
  return 0;
}

static void life_unload(void) {
  free(lazy_disk);
  free(shared_buffer);
  disk_unload();
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-races-life",
    .version = "1",
    .description = "a disk with one race at its beginnings and ends, chosen by fault=",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .thread_model = life_thread_model,
    .get_ready = disk_get_ready,
    .unload = life_unload,
    .open = life_open,
    .close = life_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = life_pread,
    .pwrite = life_pwrite,
    .flush = life_flush,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
