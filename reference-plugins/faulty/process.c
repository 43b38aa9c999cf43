/* faulty-process: a disk that harms the process it runs in. */
#define _GNU_SOURCE
#include "fault.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char* const choices[] = {"crash-config",
                               "crash-complete",
                               "crash-ready",
                               "crash-after-fork",
                               "crash-open",
                               "crash-size",
                               "crash-pread",
                               "crash-pwrite",
                               "crash-flush",
                               "crash-close",
                               "crash-cleanup",
                               "crash-unload",
                               "abort-pwrite",
                               "stack-overflow",
                               "hang-pread",
                               "hang-close",
                               "hang-flush",
                               "hang-open",
                               "hang-ready",
                               "hang-unload",
                               "loop-pread",
                               "exit-pread",
                               "_exit-open",
                               "exit-pwrite",
                               "exit-unload",
                               "thread-exit",
                               "fork-bomb",
                               "close-stdout",
                               "close-all",
                               "leak-fd",
                               "leak-thread",
                               "leak-child",
                               "chdir",
                               "umask",
                               "signal",
                               "blocked-signals",
                               "stdout-noise",
                               "exit-config",
                               "exit-ready",
                               "exit-close",
                               "exit-cleanup",
                               "thread-exit-open",
                               "thread-exit-config",
                               "_exit-unload",
                               "abort-close",
                               "crash-some",
                               NULL};

/* At most this many children, however long the test lasts. */
#define FORK_LIMIT 200

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned forks;

/* A fault of the usual kind: writing through a null pointer. */
static void crash(void) {
  volatile int* volatile nowhere = NULL;
  *nowhere = 1;
}

/* A deadlock with oneself: the mutex is not recursive. */
static void hang(void) {
  pthread_mutex_lock(&mutex);
  pthread_mutex_lock(&mutex);
}

static void loop(void) {
  for (volatile unsigned i = 0;; i++) {
  }
}

static void at(const char* where) {
  char name[64];
  snprintf(name, sizeof name, "crash-%s", where);
  if (fault(name)) crash();
  snprintf(name, sizeof name, "hang-%s", where);
  if (fault(name)) hang();
  snprintf(name, sizeof name, "exit-%s", where);
  if (fault(name)) exit(0);
  snprintf(name, sizeof name, "_exit-%s", where);
  if (fault(name)) _exit(0);
  snprintf(name, sizeof name, "abort-%s", where);
  if (fault(name)) abort();
  snprintf(name, sizeof name, "thread-exit-%s", where);
  if (fault(name)) pthread_exit(NULL);
}

static unsigned overflow(unsigned depth) { /* each call's result is needed: no tail call */
  volatile uint8_t frame[4096];
  if (depth == UINT32_MAX) return 0; /* never reached, but compilers insist */
  frame[depth % sizeof frame] = (uint8_t)depth;
  return overflow(depth + 1) + frame[(depth + 1) % sizeof frame];
}

static sem_t begun;

static void* sleep_for_ever(void* unused) {
  (void)unused;
  sem_post(&begun);
  for (;;) pause();
  return NULL;
}

/* Children that outlive the request and are never waited for. */
static void spawn(unsigned count) {
  for (unsigned i = 0; i < count && forks < FORK_LIMIT; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      alarm(60); /* whatever the tester forgets ends by itself */
      for (;;) pause();
    }
    if (pid > 0) forks++;
  }
}

static int process_config(const char* key, const char* value) {
  int r = disk_config(key, value);
  at("config");
  return r;
}

static int process_config_complete(void) {
  at("complete");
  return 0;
}

static int process_get_ready(void) {
  at("ready");
  return disk_get_ready();
}

static void ignore(int signal) { (void)signal; }

static int process_after_fork(void) {
  at("after-fork");
  if (fault("close-stdout")) close(STDOUT_FILENO);
  if (fault("close-all"))
    for (int fd = 3; fd < 1024; fd++) close(fd);
  if (fault("umask")) umask(0);
  if (fault("signal")) signal(SIGTERM, ignore);
  if (fault("chdir") && chdir("/tmp") == -1) nbdkit_debug("chdir: %m");
  return 0;
}

static void process_cleanup(void) { at("cleanup"); }

static void process_unload(void) {
  at("unload");
  disk_unload();
}

static void* process_open(int readonly) {
  at("open");
  return disk_open(readonly);
}

static void process_close(void* handle) {
  (void)handle;
  at("close");
}

static int64_t process_get_size(void* handle) {
  at("size");
  return disk_get_size(handle);
}

static int process_pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
  if (fault("crash-some") && offset % PAGE > 4000) crash();
  at("pread");
  if (fault("loop-pread")) loop();
  if (fault("stack-overflow")) memset(buf, (int)overflow(0), count);
  if (fault("thread-exit")) pthread_exit(NULL);
  if (fault("leak-fd") && open("/dev/null", O_RDONLY | O_CLOEXEC) == -1)
    return fail(EIO, "too many open files");
  if (fault("leak-child")) spawn(1);
  if (fault("stdout-noise")) {
    printf("read %" PRIu32 " bytes at %" PRIu64 "\n", count, offset);
    fflush(stdout);
  }
  return disk_pread(handle, buf, count, offset, flags);
}

static void block_signals(void) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void leak_thread(void) {
  static unsigned threads;
  pthread_t thread;
  if (threads < FORK_LIMIT && pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0) {
    threads++;
    pthread_detach(thread);
    sem_wait(&begun); /* or it might begin when its code is gone */
  }
}

static int process_pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset,
                          uint32_t flags) {
  at("pwrite");
  if (fault("fork-bomb")) spawn(FORK_LIMIT);
  if (fault("leak-thread")) leak_thread();
  if (fault("blocked-signals")) block_signals();
  return disk_pwrite(handle, buf, count, offset, flags);
}

static int process_flush(void* handle, uint32_t flags) {
  at("flush");
  return disk_flush(handle, flags);
}

static struct nbdkit_plugin plugin = {
    .name = "faulty-process",
    .version = "0.1.0",
    .unload = process_unload,
    .config = process_config,
    .config_complete = process_config_complete,
    .config_help = DISK_CONFIG_HELP,
    .get_ready = process_get_ready,
    .after_fork = process_after_fork,
    .cleanup = process_cleanup,
    .open = process_open,
    .close = process_close,
    .get_size = process_get_size,
    .can_multi_conn = disk_yes,
    .pread = process_pread,
    .pwrite = process_pwrite,
    .flush = process_flush,
};
NBDKIT_REGISTER_PLUGIN(plugin)
