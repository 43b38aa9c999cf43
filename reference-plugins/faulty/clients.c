/* faulty-clients: what it has for each client is enough for so many of them.
 *
 * waits: one; the others wait in .open until it leaves
 * table-8, table-16, table-32: so many slots, in each a write that has not been
 * carried out yet; whoever comes when all are taken begins with the first slot anew
 */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define CHOICE_KEY "fault"
#define CHOICE_DEFAULT "none"
#include "../disk.h"

const char* const choices[] = {"waits", "table-8", "table-16", "table-32", NULL};

#define MOST 4096

struct slot {
  uint64_t offset;
  uint32_t count; /* 0: nothing waits */
  uint8_t* bytes;
  unsigned users;
};

static struct slot slots[MOST];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t one_left = PTHREAD_COND_INITIALIZER;
static unsigned clients;

static unsigned room(void) {
  if (chosen("table-8")) return 8;
  if (chosen("table-16")) return 16;
  return chosen("table-32") ? 32 : MOST;
}

static void drop(struct slot* slot) {
  free(slot->bytes);
  slot->bytes = NULL;
  slot->count = 0;
}

static void carry_out(struct slot* slot) {
  if (slot->count > 0) memcpy(disk + slot->offset, slot->bytes, slot->count);
  drop(slot);
}

static void* clients_open(int readonly) {
  (void)readonly;
  pthread_mutex_lock(&mutex);
  while (chosen("waits") && clients > 0) pthread_cond_wait(&one_left, &mutex);
  struct slot* slot = slots;
  for (unsigned i = 0; i < room(); i++)
    if (slots[i].users == 0) {
      slot = &slots[i];
      break;
    }
  drop(slot);
  slot->users++;
  clients++;
  pthread_mutex_unlock(&mutex);
  return slot;
}

static void clients_close(void* handle) {
  struct slot* slot = handle;
  pthread_mutex_lock(&mutex);
  carry_out(slot);
  slot->users--;
  clients--;
  pthread_cond_signal(&one_left);
  pthread_mutex_unlock(&mutex);
}

static int clients_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  struct slot* slot = handle;
  (void)flags;
  pthread_mutex_lock(&mutex);
  memcpy(buf, disk + offset, count);
  for (uint32_t i = 0; i < slot->count; i++) {
    const uint64_t at = slot->offset + i;
    if (at >= offset && at < offset + count) ((uint8_t*)buf)[at - offset] = slot->bytes[i];
  }
  pthread_mutex_unlock(&mutex);
  return 0;
}

static int clients_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  struct slot* slot = handle;
  (void)flags;
  pthread_mutex_lock(&mutex);
  carry_out(slot);
  slot->bytes = malloc(count);
  if (slot->bytes) {
    memcpy(slot->bytes, buf, count);
    slot->offset = offset;
    slot->count = count;
  }
  const bool good = slot->bytes != NULL;
  pthread_mutex_unlock(&mutex);
  return good ? 0 : fail(ENOMEM, "malloc failed");
}

static int clients_flush(void* handle, uint32_t flags) {
  (void)flags;
  pthread_mutex_lock(&mutex);
  carry_out(handle);
  pthread_mutex_unlock(&mutex);
  return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-clients",
    .version = "0.1.0",
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = disk_get_ready,
    .unload = disk_unload,
    .open = clients_open,
    .close = clients_close,
    .get_size = disk_get_size,
    .pread = clients_pread,
    .pwrite = clients_pwrite,
    .flush = clients_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
