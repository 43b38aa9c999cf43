/* A thread that does the work of requests: were it not there, they would wait for
 * ever. */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t worker;
static bool asked, answered, stopping;

static void* work(void* unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  while (!stopping) {
    if (asked) {
      asked = false;
      answered = true;
      pthread_cond_broadcast(&changed);
    }
    pthread_cond_wait(&changed, &mutex);
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static int start_worker(void) { return pthread_create(&worker, NULL, work, NULL); }

static void ask_worker(void) {
  pthread_mutex_lock(&mutex);
  asked = true;
  pthread_cond_broadcast(&changed);
  while (!answered) pthread_cond_wait(&changed, &mutex);
  answered = false;
  pthread_mutex_unlock(&mutex);
}

static void tell_worker_to_stop(void) {
  pthread_mutex_lock(&mutex);
  stopping = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}
