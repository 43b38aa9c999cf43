/* faulty-resources: a disk that does not give back what it takes from its process. */
#define _GNU_SOURCE
#include "fault.h"

#undef THREAD_MODEL
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

const char* const choices[] = {"fd-connection",
                               "fd-read",
                               "fd-every-third",
                               "fd-twice",
                               "memory-connection",
                               "memory-read",
                               "memory-write",
                               "mapping-connection",
                               "thread-connection",
                               "zombie",
                               "zombie-last",
                               "temporary",
                               "no-cloexec",
                               "setenv",
                               "limit",
                               "sigchld",
                               "pipe-default",
                               "blocked-main",
                               "stdout-open",
                               "replace-stdin",
                               "print-config",
                               "read-ready",
                               "memory-start",
                               "mapping-start",
                               "fd-start",
                               NULL};

/* No more than this many, whatever the test does: the machine is shared. */
#define THREAD_LIMIT 1000
#define CHILD_LIMIT 300

static unsigned visits, children, threads;
static int inherited = -1;
static void* volatile kept;
static const struct rlimit small = {UINT64_C(1) << 40, RLIM_INFINITY};

/* Only one fault is about threads that run at once; the others show the same way every time. */
/* Standard input and output may be the client's. */
static int resources_config_complete(void) {
  if (fault("print-config")) printf("welcome\n");
  return 0;
}

static int leak_descriptor(void) {
  if (open("/dev/null", O_RDONLY | O_CLOEXEC) != -1) return 0;
  nbdkit_error("/dev/null: %m");
  return -1;
}

static int resources_get_ready(void) {
  if (fault("read-ready")) getchar();
  if (fault("memory-start")) kept = malloc(100);
  if (fault("mapping-start"))
    kept = mmap(NULL, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fault("fd-start") && leak_descriptor() == -1) return -1;
  return disk_get_ready();
}

static int resources_thread_model(void) {
  return fault("no-cloexec") ? NBDKIT_THREAD_MODEL_PARALLEL
                             : NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS;
}

static void leave_zombie(void) {
  if (children++ >= CHILD_LIMIT) return;
  if (fork() == 0) _exit(0);
}

static sem_t begun;

static void* sleep_for_ever(void* unused) {
  (void)unused;
  sem_post(&begun);
  for (;;) pause();
  return NULL;
}

static void leave_thread(void) {
  pthread_t thread;
  if (threads < THREAD_LIMIT && pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0) {
    threads++;
    pthread_detach(thread);
    sem_wait(&begun); /* or it might begin when its code is gone */
  }
}

static void leave_file(void) {
  const char* directory = getenv("TMPDIR");
  char name[4096];
  snprintf(name, sizeof name, "%s/resourcesXXXXXX", directory ? directory : "/var/tmp");
  int fd = mkostemp(name, O_CLOEXEC);
  if (fd >= 0) close(fd);
}

static int resources_after_fork(void) {
  if (fault("temporary")) leave_file();
  if (fault("sigchld")) signal(SIGCHLD, SIG_IGN);
  if (fault("pipe-default")) signal(SIGPIPE, SIG_DFL);
  if (fault("blocked-main")) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
  }
  if (fault("no-cloexec") && (inherited = open("/dev/zero", O_RDONLY)) == -1) return -1;
  if (fault("replace-stdin")) dup2(STDERR_FILENO, STDIN_FILENO);
  return 0;
}

static void* resources_open(int readonly) {
  visits++;
  if (fault("fd-connection") && leak_descriptor() == -1) return NULL;
  if (fault("fd-every-third") && visits % 3 == 0 && leak_descriptor() == -1) return NULL;
  if (fault("memory-connection")) kept = strdup("the name of an export, perhaps");
  if (fault("mapping-connection"))
    kept = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fault("thread-connection")) leave_thread();
  if (fault("zombie")) leave_zombie();
  if (fault("setenv")) setenv("RESOURCES_VISITED", "yes", 1);
  if (fault("stdout-open")) printf("somebody is here\n");
  if (fault("limit")) setrlimit(RLIMIT_FSIZE, &small);
  return disk_open(readonly);
}

static int resources_pread(void* handle, void* buf, uint32_t count, uint64_t offset,
                           uint32_t flags) {
  if (fault("fd-read") && leak_descriptor() == -1) return -1;
  if (fault("fd-twice")) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    close(fd);
  }
  if (fault("memory-read")) kept = malloc(64);
  return disk_pread(handle, buf, count, offset, flags);
}

static int resources_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                            uint32_t flags) {
  if (fault("memory-write")) kept = malloc(200);
  return disk_pwrite(handle, buf, count, offset, flags);
}

static void resources_cleanup(void) {
  if (inherited != -1) close(inherited);
  if (fault("zombie-last")) leave_zombie();
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-resources",
    .version = "0.1.0",
    .unload = disk_unload,
    .config = disk_config,
    .config_help = DISK_CONFIG_HELP,
    .thread_model = resources_thread_model,
    .config_complete = resources_config_complete,
    .get_ready = resources_get_ready,
    .after_fork = resources_after_fork,
    .cleanup = resources_cleanup,
    .open = resources_open,
    .get_size = disk_get_size,
    .can_multi_conn = disk_yes,
    .pread = resources_pread,
    .pwrite = resources_pwrite,
    .flush = disk_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
