// What Stepper's tests step through: small functions, each with one trait.
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#define EXPORTED extern "C" __attribute__((visibility("default"), noinline))

namespace {
volatile long cache_key = 0;
volatile long cache_value = 0;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
std::atomic_flag spinning = ATOMIC_FLAG_INIT;
thread_local std::jmp_buf place;

long square(long key) { return key * key; }
}  // namespace

extern "C" __attribute__((visibility("default"))) long visible;
long visible = 1;

// A cache of one entry in two stores: in between it is wrong.
EXPORTED long cached(long key) {
  if (cache_key != key) {
    cache_key = key;
    cache_value = square(key);
  }
  return cache_value;
}

EXPORTED long cached_locked(long key) {
  pthread_mutex_lock(&mutex);
  const long value = cached(key);
  pthread_mutex_unlock(&mutex);
  return value;
}

EXPORTED long cached_spinning(long key) {
  while (spinning.test_and_set()) sched_yield();
  const long value = cached(key);
  spinning.clear();
  return value;
}

// Much in libc, little here.
EXPORTED long library_calls(long size) {
  auto* text = static_cast<char*>(std::malloc(static_cast<std::size_t>(size)));
  if (text == nullptr) return -1;
  std::memset(text, 'x', static_cast<std::size_t>(size));
  text[size - 1] = '\0';
  const long length = static_cast<long>(std::strlen(text));
  std::free(text);
  return length;
}

namespace {
int compare(const void* a, const void* b) {
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}
}  // namespace

// Called back from outside.
EXPORTED long sorted(long) {
  int numbers[] = {5, 3, 9, 1, 7};
  std::qsort(numbers, 5, sizeof(int), compare);
  return numbers[0] * 10000 + numbers[1] * 1000 + numbers[2] * 100 + numbers[3] * 10 + numbers[4];
}

EXPORTED long throws(long key) {
  try {
    if (key > 0) throw std::runtime_error("as it must");
  } catch (const std::runtime_error& e) {
    return std::string(e.what()) == "as it must" ? 1 : 2;
  }
  return 3;
}

EXPORTED long jumps(long key) {
  if (setjmp(place) != 0) return 1;
  if (key > 0) std::longjmp(place, 1);
  return 2;
}

EXPORTED double floating(double x) {
  double sum = 0;
  for (int i = 1; i <= 20; ++i) sum += x / i - sum * 0.25;
  return sum;
}

EXPORTED long recursive(long depth) {
  if (depth <= 0) return 1;
  return recursive(depth - 1) + recursive(depth - 2);
}

// A leaf that keeps its variables below the stack pointer.
EXPORTED long red_zone(long seed) {
  volatile long a[8];
  for (int i = 0; i < 8; ++i) a[i] = seed + i;
  long sum = 0;
  for (int i = 0; i < 8; ++i) sum += a[i];
  return sum;
}

// One instruction that copies.
EXPORTED long repeats(long seed) {
  static char from[256];
  static char to[256];
  std::memset(from, static_cast<int>(seed), sizeof from);
#if defined(__x86_64__)
  const char* source = from;
  char* target = to;
  unsigned long count = sizeof from;
  asm volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
#else
  std::memcpy(to, from, sizeof from);
#endif
  return to[255];
}

namespace {
void* work(void* argument) {
  for (int i = 0; i < 100; ++i) red_zone(i);
  return argument;
}
}  // namespace

// Its own thread runs the same code.
EXPORTED long with_thread(long key) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, work, nullptr) != 0) return -1;
  red_zone(key);
  pthread_join(thread, nullptr);
  return key;
}

// Waits for another call to let it go.
EXPORTED long never_ends(long) {
  for (;;) sched_yield();
}
