/* legal-guest: uses descriptors, threads, memory, children, files and settings of the process as a
 * plugin may: all that is taken comes back, or stops growing. */
#define _GNU_SOURCE
#include "mode.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

const char* const choices[] = {
    "fd-cache",     "memory-cache",      "log-that-doubles", "pool",      "worker",
    "early-worker", "connection-worker", "children",         "temporary", "settings-early",
    "talks-early",  "notices-fork",      "intern",           NULL};

/* Large enough for a test to take it for a leak if it looks only once. */
#define CACHE 60
#define POOL 12

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t pool[POOL];
static unsigned workers, visits;
static bool stopping;
static int cached[CACHE];
static void* blocks[1024];
static char** journal;
static size_t journal_used, journal_room;
static char temporary[4096];
static pid_t loaded_as;
static char* labels[64]; /* label=: all that were given */
static size_t label_count;

static void* work(void* unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  while (!stopping) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static int start_worker(void) {
  int r = pthread_create(&pool[workers], NULL, work, NULL);
  if (r != 0) {
    nbdkit_error("pthread_create: %s", strerror(r));
    return -1;
  }
  workers++;
  return 0;
}

static void stop_workers(void) {
  pthread_mutex_lock(&mutex);
  stopping = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  while (workers > 0) pthread_join(pool[--workers], NULL);
  stopping = false;
}

/* A connection's own thread. */
struct visitor {
  pthread_t thread;
  bool leaving;
  struct visitor* next;
};
static struct visitor* visitors;

static void* visit(void* argument) {
  struct visitor* self = argument;
  pthread_mutex_lock(&mutex);
  while (!self->leaving) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static struct visitor* start_visitor(void) {
  struct visitor* self = calloc(1, sizeof *self);
  if (!self || pthread_create(&self->thread, NULL, visit, self) != 0) {
    nbdkit_error("cannot start a thread");
    free(self);
    return NULL;
  }
  pthread_mutex_lock(&mutex);
  self->next = visitors;
  visitors = self;
  pthread_mutex_unlock(&mutex);
  return self;
}

static void end_visitor(struct visitor* self) {
  pthread_mutex_lock(&mutex);
  struct visitor** at = &visitors;
  while (*at != self) at = &(*at)->next;
  *at = self->next;
  self->leaving = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  pthread_join(self->thread, NULL);
  free(self);
}

static void on_signal(int signal) { (void)signal; }

/* nbdkit sets its own signals later, and is alone with us until then. */
static void guest_load(void) {
  signal(SIGTERM, on_signal);
  signal(SIGINT, SIG_IGN);
  loaded_as = getpid();
}

static int guest_config(const char* key, const char* value) {
  if (strcmp(key, "label") != 0) return disk_config(key, value);
  if (label_count == sizeof labels / sizeof labels[0]) {
    nbdkit_error("too many labels");
    return -1;
  }
  labels[label_count] = strdup(value);
  if (labels[label_count++]) return 0;
  nbdkit_error("strdup: %m");
  return -1;
}

static int guest_config_complete(void) {
  if (mode("settings-early")) {
    setenv("GUEST_LIBRARY_OPTIONS", "quiet", 1);
    setlocale(LC_CTYPE, "C.UTF-8");
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
      limit.rlim_cur = limit.rlim_max;
      setrlimit(RLIMIT_NOFILE, &limit);
    }
  }
  if (mode("talks-early") && nbdkit_stdio_safe()) printf("guest: ready to serve\n");
  /* A thread that is gone before nbdkit forks. */
  if (mode("early-worker")) {
    if (start_worker() == -1) return -1;
    stop_workers();
  }
  return 0;
}

static int guest_after_fork(void) {
  if (mode("notices-fork") && getpid() != loaded_as) nbdkit_debug("serving in the background");
  if (mode("worker")) return start_worker();
  if (mode("temporary")) {
    const char* directory = getenv("TMPDIR");
    snprintf(temporary, sizeof temporary, "%s/guestXXXXXX", directory ? directory : "/var/tmp");
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd == -1) {
      nbdkit_error("%s: %m", temporary);
      return -1;
    }
    close(fd);
  }
  return 0;
}

static void guest_cleanup(void) {
  stop_workers();
  /* nbdkit does not close connections that are open when it stops. */
  while (visitors) end_visitor(visitors);
  if (temporary[0] != '\0') unlink(temporary);
}

static int run_child(void) {
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  if (pid == -1 || waitpid(pid, NULL, 0) == -1) {
    nbdkit_error("child: %m");
    return -1;
  }
  return 0;
}

static void remember(unsigned visit) {
  if (mode("fd-cache") && visit < CACHE) cached[visit] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (mode("memory-cache")) {
    void** place = &blocks[visit % 1024];
    free(*place);
    *place = malloc(256);
  }
  if (mode("log-that-doubles") && journal_used < 100000) {
    if (journal_used == journal_room) {
      size_t room = journal_room ? 2 * journal_room : 64;
      char** more = realloc(journal, room * sizeof *more);
      if (!more) return;
      journal = more;
      journal_room = room;
    }
    journal[journal_used++] = NULL;
  }
}

static void* guest_open(int readonly) {
  (void)readonly;
  disk_lock();
  remember(visits++);
  int r = 0;
  if (mode("pool") && workers < POOL) r = start_worker();
  if (mode("children")) r = run_child();
  if (mode("intern") && !nbdkit_printf_intern("visit %u", visits)) r = -1;
  disk_unlock();
  if (r == -1) return NULL;
  if (mode("connection-worker")) return start_visitor();
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static void guest_close(void* handle) {
  if (mode("connection-worker")) end_visitor(handle);
}

static void guest_unload(void) {
  for (unsigned i = 0; i < CACHE; i++)
    if (cached[i] > 0) close(cached[i]);
  for (unsigned i = 0; i < 1024; i++) free(blocks[i]);
  free(journal);
  while (label_count > 0) free(labels[--label_count]);
  disk_unload();
}

static struct nbdkit_plugin plugin = {
    .name = "legal-guest",
    .version = "0.1.0",
    .load = guest_load,
    .unload = guest_unload,
    .config = guest_config,
    .config_complete = guest_config_complete,
    .config_help = DISK_CONFIG_HELP "\nlabel=<TEXT>  What to call it; may be given several times.",
    .get_ready = disk_get_ready,
    .after_fork = guest_after_fork,
    .cleanup = guest_cleanup,
    .open = guest_open,
    .close = guest_close,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
