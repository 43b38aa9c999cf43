/* faulty-races-store: a sparse disk of chunks that are allocated when they are
 * first written and given back when they are trimmed.  Each chunk has a lock.
 */
#include "races.h"

const char* const choices[] = {"allocate",      "recheck",   "directory",  "trim-free",
                               "read-unlocked", "refcount",  "cow",        "first-lock",
                               "chunk-order",   "zero-drop", "zero-whole", NULL};

#define CHUNK 4096U
#define GROUP 16U

struct chunk {
  volatile int references;
  struct chunk* next; /* while it is free */
  uint8_t data[CHUNK];
};

struct group {
  struct chunk* volatile chunks[GROUP];
};

static struct group* volatile* groups;
static uint64_t group_count;
static pthread_mutex_t* locks; /* one for each chunk */
static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t group_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct chunk* pool; /* free ones; what was freed last is used first */

static struct chunk* get_chunk(void) {
  pthread_mutex_lock(&pool_mutex);
  struct chunk* c = pool;
  if (c) pool = c->next;
  pthread_mutex_unlock(&pool_mutex);
  if (!c) c = malloc(sizeof *c);
  if (!c) return NULL;
  memset(c->data, 0, CHUNK);
  c->references = 1;
  return c;
}

static void put_chunk(struct chunk* c) {
  if (!c) return;
  pthread_mutex_lock(&pool_mutex);
  c->next = pool;
  pool = c;
  pthread_mutex_unlock(&pool_mutex);
}

static void drop_reference(struct chunk* c) {
  int left = c->references - 1;
  c->references = left;
  if (left == 0) put_chunk(c);
}

/* The place of a chunk's pointer. */
static struct chunk* volatile* slot(uint64_t number) {
  struct group* g;
  if (fault("directory")) {
    if (!groups[number / GROUP]) groups[number / GROUP] = calloc(1, sizeof(struct group));
    g = groups[number / GROUP];
  } else {
    pthread_mutex_lock(&group_mutex);
    if (!groups[number / GROUP]) groups[number / GROUP] = calloc(1, sizeof(struct group));
    g = groups[number / GROUP];
    pthread_mutex_unlock(&group_mutex);
  }
  return &g->chunks[number % GROUP];
}

static void lock_chunk(uint64_t number) { pthread_mutex_lock(&locks[number]); }
static void unlock_chunk(uint64_t number) { pthread_mutex_unlock(&locks[number]); }

/* The lock of the chunk is held. */
static void replace(struct chunk* volatile* place, const uint8_t* from, struct piece p) {
  struct chunk* before = *place;
  struct chunk* after = get_chunk();
  if (before) memcpy(after->data, before->data, CHUNK);
  if (from)
    memcpy(after->data + p.at, from, p.length);
  else
    memset(after->data + p.at, 0, p.length);
  *place = after;
  put_chunk(before);
}

static void write_piece(const uint8_t* from, struct piece p) {
  struct chunk* volatile* place = slot(p.unit);
  if (fault("allocate") && !*place) *place = get_chunk();
  if (fault("recheck")) {
    lock_chunk(p.unit);
    bool missing = !*place;
    unlock_chunk(p.unit);
    if (missing) {
      struct chunk* fresh = get_chunk();
      lock_chunk(p.unit);
      *place = fresh;
      unlock_chunk(p.unit);
    }
  }
  if (fault("cow")) {
    replace(place, from, p);
    return;
  }
  lock_chunk(p.unit);
  if (!*place) *place = get_chunk();
  memcpy((*place)->data + p.at, from, p.length);
  unlock_chunk(p.unit);
}

static void read_piece(uint8_t* to, struct piece p) {
  struct chunk* volatile* place = slot(p.unit);
  if (fault("refcount")) {
    struct chunk* c = *place;
    if (!c) {
      memset(to, 0, p.length);
      return;
    }
    c->references++;
    memcpy(to, c->data + p.at, p.length);
    drop_reference(c);
    return;
  }
  lock_chunk(p.unit);
  struct chunk* c = *place;
  if (fault("read-unlocked")) unlock_chunk(p.unit);
  if (c)
    memcpy(to, c->data + p.at, p.length);
  else
    memset(to, 0, p.length);
  if (!fault("read-unlocked")) unlock_chunk(p.unit);
}

static void clear_piece(struct piece p) {
  struct chunk* volatile* place = slot(p.unit);
  bool whole = p.length == CHUNK;
  if (fault("zero-drop") && !whole) {
    /* All of the chunk is taken, changed and put back. */
    struct chunk copy;
    if (!*place) return;
    memcpy(copy.data, (*place)->data, CHUNK);
    memset(copy.data + p.at, 0, p.length);
    lock_chunk(p.unit);
    if (*place) memcpy((*place)->data, copy.data, CHUNK);
    unlock_chunk(p.unit);
    return;
  }
  if (whole && (fault("trim-free") || fault("zero-whole"))) {
    struct chunk* c = *place;
    *place = NULL;
    put_chunk(c);
    return;
  }
  if (fault("cow")) {
    if (*place) replace(place, NULL, p);
    return;
  }
  lock_chunk(p.unit);
  struct chunk* c = *place;
  if (c && whole) {
    *place = NULL;
    if (fault("refcount"))
      drop_reference(c);
    else
      put_chunk(c);
  } else if (c) {
    memset(c->data + p.at, 0, p.length);
  }
  unlock_chunk(p.unit);
}

/* Writes that hold the locks of all their chunks. */
static void write_at_once(const uint8_t* from, uint32_t count, uint64_t offset) {
  uint64_t first = offset / CHUNK, last = (offset + count - 1) / CHUNK;
  bool all = !fault("first-lock");
  for (uint64_t c = first; c <= (all ? last : first); c++) lock_chunk(c);
  while (count > 0) {
    struct piece p = first_piece(offset, count, CHUNK);
    replace(slot(p.unit), from, p);
    from += p.length;
    offset += p.length;
    count -= p.length;
  }
  for (uint64_t c = first; c <= (all ? last : first); c++) unlock_chunk(c);
}

static void read_at_once(uint8_t* to, uint32_t count, uint64_t offset) {
  uint64_t first = offset / CHUNK, last = (offset + count - 1) / CHUNK;
  for (uint64_t c = last + 1; c-- > first;) lock_chunk(c); /* the last one first */
  while (count > 0) {
    struct piece p = first_piece(offset, count, CHUNK);
    struct chunk* c = *slot(p.unit);
    if (c)
      memcpy(to, c->data + p.at, p.length);
    else
      memset(to, 0, p.length);
    to += p.length;
    offset += p.length;
    count -= p.length;
  }
  for (uint64_t c = first; c <= last; c++) unlock_chunk(c);
}

static int store_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                        uint32_t flags) {
  (void)handle;
  (void)flags;
  if (fault("first-lock") || fault("chunk-order")) {
    write_at_once(buf, count, offset);
    return 0;
  }
  const uint8_t* from = buf;
  while (count > 0) {
    struct piece p = first_piece(offset, count, CHUNK);
    write_piece(from, p);
    from += p.length;
    offset += p.length;
    count -= p.length;
  }
  return 0;
}

static int store_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  if (fault("chunk-order")) {
    read_at_once(buf, count, offset);
    return 0;
  }
  uint8_t* to = buf;
  while (count > 0) {
    struct piece p = first_piece(offset, count, CHUNK);
    read_piece(to, p);
    to += p.length;
    offset += p.length;
    count -= p.length;
  }
  return 0;
}

static int store_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  (void)handle;
  (void)flags;
  while (count > 0) {
    struct piece p = first_piece(offset, count, CHUNK);
    clear_piece(p);
    offset += p.length;
    count -= p.length;
  }
  return 0;
}

static int store_get_ready(void) {
  uint64_t chunks = round_up((uint64_t)disk_size, CHUNK) / CHUNK;
  group_count = chunks / GROUP + 1;
  groups = calloc(group_count, sizeof *groups);
  locks = malloc((chunks + 1) * sizeof *locks);
  if (!groups || !locks) {
    nbdkit_error("calloc: %m");
    return -1;
  }
  for (uint64_t i = 0; i <= chunks; i++) pthread_mutex_init(&locks[i], NULL);
  return 0;
}

static void store_unload(void) {
  for (uint64_t g = 0; groups && g < group_count; g++) {
    for (unsigned c = 0; groups[g] && c < GROUP; c++) free(groups[g]->chunks[c]);
    free(groups[g]);
  }
  while (pool) {
    struct chunk* c = pool;
    pool = c->next;
    free(c);
  }
  free((void*)groups);
  free(locks);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-races-store",
    .version = "1",
    .description = "a sparse disk with one race, chosen by fault=",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = store_get_ready,
    .unload = store_unload,
    .open = disk_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = store_pread,
    .pwrite = store_pwrite,
    .zero = store_zero,
    .trim = store_zero,
    .flush = disk_flush,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
