// What the tests of noise and locks call: small functions that take locks and
// move memory, as a plugin does.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#define EXPORTED extern "C" __attribute__((visibility("default"), noinline))

namespace {
pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t two = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t three = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
pthread_rwlock_t other_shared = PTHREAD_RWLOCK_INITIALIZER;
long volatile counter = 0;
char buffer[4096];

void in_order(pthread_mutex_t* first, pthread_mutex_t* second) {
  pthread_mutex_lock(first);
  pthread_mutex_lock(second);
  pthread_mutex_unlock(second);
  pthread_mutex_unlock(first);
}
}  // namespace

EXPORTED void one_two(long) { in_order(&one, &two); }
EXPORTED void two_one(long) { in_order(&two, &one); }
EXPORTED void two_three(long) { in_order(&two, &three); }
EXPORTED void three_one(long) { in_order(&three, &one); }
EXPORTED void gate_one_two(long) {
  pthread_mutex_lock(&gate);
  in_order(&one, &two);
  pthread_mutex_unlock(&gate);
}
EXPORTED void gate_two_one(long) {
  pthread_mutex_lock(&gate);
  in_order(&two, &one);
  pthread_mutex_unlock(&gate);
}
EXPORTED void reading_one_two(long) {
  pthread_rwlock_rdlock(&shared);
  in_order(&one, &two);
  pthread_rwlock_unlock(&shared);
}
EXPORTED void reading_two_one(long) {
  pthread_rwlock_rdlock(&shared);
  in_order(&two, &one);
  pthread_rwlock_unlock(&shared);
}
EXPORTED void try_two_one(long) {
  pthread_mutex_lock(&two);
  if (pthread_mutex_trylock(&one) == 0) pthread_mutex_unlock(&one);
  pthread_mutex_unlock(&two);
}
EXPORTED void read_read(long) {
  pthread_rwlock_rdlock(&shared);
  pthread_rwlock_rdlock(&other_shared);
  pthread_rwlock_unlock(&other_shared);
  pthread_rwlock_unlock(&shared);
}
EXPORTED void read_read_back(long) {
  pthread_rwlock_rdlock(&other_shared);
  pthread_rwlock_rdlock(&shared);
  pthread_rwlock_unlock(&shared);
  pthread_rwlock_unlock(&other_shared);
}
EXPORTED void write_write_back(long) {
  pthread_rwlock_wrlock(&other_shared);
  pthread_rwlock_wrlock(&shared);
  pthread_rwlock_unlock(&shared);
  pthread_rwlock_unlock(&other_shared);
}
// Each time another mutex, maybe at the same address.
EXPORTED void fresh_then_one(long) {
  auto* m = static_cast<pthread_mutex_t*>(std::calloc(1, sizeof(pthread_mutex_t)));
  in_order(m, &one);
  std::free(m);
}
EXPORTED void one_then_fresh(long) {
  auto* m = static_cast<pthread_mutex_t*>(std::calloc(1, sizeof(pthread_mutex_t)));
  in_order(&one, m);
  std::free(m);
}
namespace {
pthread_mutex_t meeting = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t came = PTHREAD_COND_INITIALIZER;
int here = 0;
// Both get there before either goes on.
void meet() {
  pthread_mutex_lock(&meeting);
  ++here;
  pthread_cond_broadcast(&came);
  while (here < 2) pthread_cond_wait(&came, &meeting);
  pthread_mutex_unlock(&meeting);
}
}  // namespace
EXPORTED void embrace_one(long) {
  pthread_mutex_lock(&one);
  meet();
  pthread_mutex_lock(&two);
}
EXPORTED void embrace_two(long) {
  pthread_mutex_lock(&two);
  meet();
  pthread_mutex_lock(&one);
}

// Loses counts when two run at once.
EXPORTED void count(long) {
  const long before = counter;
  void* volatile memory = std::malloc(32);
  counter = before + 1;
  std::free(memory);
}
EXPORTED void count_locked(long) {
  pthread_mutex_lock(&one);
  count(0);
  pthread_mutex_unlock(&one);
}
EXPORTED long counted() { return counter; }

EXPORTED long copied(long byte) {
  char local[4096];
  std::memset(local, static_cast<int>(byte), sizeof local);
  std::memcpy(buffer, local, sizeof buffer);
  std::memmove(buffer + 1, buffer, sizeof buffer - 1);
  for (const char c : buffer)
    if (c != static_cast<char>(byte)) return -1;
  return byte;
}

EXPORTED long blocks_all_signals(long) {
  sigset_t all;
  sigset_t now;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  const long result = sigismember(&now, SIGTRAP) != 0 ? 2 : sigismember(&now, SIGUSR1);
  sigemptyset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  return result;
}

EXPORTED void close_once(long) {
  const int descriptor = dup(0);
  close(descriptor);
  close(-1);
}
EXPORTED void close_twice(long) {
  const int descriptor = dup(0);
  close(descriptor);
  close(descriptor);
  counter = counter + 1;  // the call is not the last thing: who returns is here
}
EXPORTED void close_twice_in_a_child(long) {
  const pid_t child = vfork();  // which shares our memory
  if (child == 0) {
    close_twice(0);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
}
