#include "interpose/wrapped.hpp"

#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace nbdcheck::interpose {

constinit std::atomic<Disturbance*> disturbance{nullptr};
constinit std::atomic<LockListener*> lock_listener{nullptr};

namespace {

void disturb(bool often = false) {
  if (Disturbance* noise = disturbance.load(std::memory_order_acquire)) {
    const int error = errno;
    noise->here(often);
    errno = error;
  }
}

LockListener* listener() { return lock_listener.load(std::memory_order_acquire); }

std::uint64_t address(const volatile void* lock) { return reinterpret_cast<std::uint64_t>(lock); }

#define NBDCHECK_CALLER reinterpret_cast<std::uint64_t>(__builtin_return_address(0))

// A lock that is waited for.
template <typename Lock, typename Take>
int take(Lock* lock, bool shared, std::uint64_t at, Take take_it) {
  disturb(true);
  const LockListener::Call call{address(lock), at, shared};
  LockListener* told = listener();
  if (told != nullptr) told->wants(call);
  const int result = take_it(lock);
  if (told != nullptr)
    result == 0 || result == EOWNERDEAD ? told->has(call, true) : told->failed(call);
  return result;
}

// One that is taken only if it is free.
template <typename Lock, typename Take>
int try_to_take(Lock* lock, bool shared, std::uint64_t at, Take take_it) {
  disturb(true);
  const int result = take_it(lock);
  if (LockListener* told = listener(); told != nullptr && (result == 0 || result == EOWNERDEAD))
    told->has({address(lock), at, shared}, false);
  return result;
}

template <typename Lock, typename Give>
int give(Lock* lock, Give give_it) {
  // Before: afterwards the lock may be somebody else's, or be no more.
  if (LockListener* told = listener()) told->released(address(lock));
  const int result = give_it(lock);
  disturb(true);
  return result;
}

// --- locks ---------------------------------------------------------------------

int mutex_lock(pthread_mutex_t* m) { return take(m, false, NBDCHECK_CALLER, ::pthread_mutex_lock); }
int mutex_trylock(pthread_mutex_t* m) {
  return try_to_take(m, false, NBDCHECK_CALLER, ::pthread_mutex_trylock);
}
// Who waits for a limited time does not wait for ever: not in an order.
int mutex_timedlock(pthread_mutex_t* m, const timespec* until) {
  return try_to_take(m, false, NBDCHECK_CALLER, [until](pthread_mutex_t* lock) {
    return ::pthread_mutex_timedlock(lock, until);
  });
}
int mutex_unlock(pthread_mutex_t* m) { return give(m, ::pthread_mutex_unlock); }
int mutex_init(pthread_mutex_t* m, const pthread_mutexattr_t* attributes) {
  if (LockListener* told = listener()) told->gone(address(m), sizeof *m);
  return ::pthread_mutex_init(m, attributes);
}
int mutex_destroy(pthread_mutex_t* m) {
  if (LockListener* told = listener()) told->gone(address(m), sizeof *m);
  return ::pthread_mutex_destroy(m);
}

int rwlock_rdlock(pthread_rwlock_t* l) {
  return take(l, true, NBDCHECK_CALLER, ::pthread_rwlock_rdlock);
}
int rwlock_wrlock(pthread_rwlock_t* l) {
  return take(l, false, NBDCHECK_CALLER, ::pthread_rwlock_wrlock);
}
int rwlock_tryrdlock(pthread_rwlock_t* l) {
  return try_to_take(l, true, NBDCHECK_CALLER, ::pthread_rwlock_tryrdlock);
}
int rwlock_trywrlock(pthread_rwlock_t* l) {
  return try_to_take(l, false, NBDCHECK_CALLER, ::pthread_rwlock_trywrlock);
}
int rwlock_unlock(pthread_rwlock_t* l) { return give(l, ::pthread_rwlock_unlock); }
int rwlock_destroy(pthread_rwlock_t* l) {
  if (LockListener* told = listener()) told->gone(address(l), sizeof *l);
  return ::pthread_rwlock_destroy(l);
}

int spin_lock(pthread_spinlock_t* l) {
  return take(l, false, NBDCHECK_CALLER,
              [](pthread_spinlock_t* lock) { return ::pthread_spin_lock(lock); });
}
int spin_trylock(pthread_spinlock_t* l) {
  return try_to_take(l, false, NBDCHECK_CALLER,
                     [](pthread_spinlock_t* lock) { return ::pthread_spin_trylock(lock); });
}
int spin_unlock(pthread_spinlock_t* l) {
  return give(l, [](pthread_spinlock_t* lock) { return ::pthread_spin_unlock(lock); });
}

// While it waits the mutex is free.
template <typename Wait>
int wait_for(pthread_mutex_t* m, std::uint64_t at, Wait wait_it) {
  disturb(true);
  LockListener* told = listener();
  if (told != nullptr) told->released(address(m));
  const int result = wait_it();
  if (told != nullptr) told->has({address(m), at, false}, true);
  disturb();
  return result;
}
int cond_wait(pthread_cond_t* c, pthread_mutex_t* m) {
  return wait_for(m, NBDCHECK_CALLER, [&] { return ::pthread_cond_wait(c, m); });
}
int cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* until) {
  return wait_for(m, NBDCHECK_CALLER, [&] { return ::pthread_cond_timedwait(c, m, until); });
}
int cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* until) {
  return wait_for(m, NBDCHECK_CALLER, [&] { return ::pthread_cond_clockwait(c, m, clock, until); });
}
int cond_signal(pthread_cond_t* c) {
  disturb(true);
  const int result = ::pthread_cond_signal(c);
  disturb(true);
  return result;
}
int cond_broadcast(pthread_cond_t* c) {
  disturb(true);
  const int result = ::pthread_cond_broadcast(c);
  disturb(true);
  return result;
}
int semaphore_wait(sem_t* s) {
  disturb(true);
  return ::sem_wait(s);
}
int semaphore_post(sem_t* s) {
  disturb(true);
  return ::sem_post(s);
}

// --- memory --------------------------------------------------------------------

void* allocate(std::size_t size) {
  void* memory = std::malloc(size);
  disturb();
  return memory;
}
void* allocate_zeroed(std::size_t count, std::size_t size) {
  void* memory = std::calloc(count, size);
  disturb();
  return memory;
}
void* reallocate(void* memory, std::size_t size) {
  if (LockListener* told = listener(); told != nullptr && memory != nullptr)
    told->gone(address(memory), ::malloc_usable_size(memory));
  void* moved = std::realloc(memory, size);
  disturb();
  return moved;
}
void deallocate(void* memory) {
  if (LockListener* told = listener(); told != nullptr && memory != nullptr)
    told->gone(address(memory), ::malloc_usable_size(memory));
  disturb();
  std::free(memory);
  disturb();
}

bool halved(std::size_t size) {
  Disturbance* noise = disturbance.load(std::memory_order_acquire);
  return noise != nullptr && noise->split(size);
}
void* copy(void* to, const void* from, std::size_t size) {
  if (!halved(size)) return std::memcpy(to, from, size);
  const std::size_t half = size / 2;
  std::memcpy(to, from, half);
  disturb(true);
  std::memcpy(static_cast<char*>(to) + half, static_cast<const char*>(from) + half, size - half);
  return to;
}
void* move(void* to, const void* from, std::size_t size) {
  const std::uint64_t distance =
      address(to) > address(from) ? address(to) - address(from) : address(from) - address(to);
  return distance >= size ? copy(to, from, size) : std::memmove(to, from, size);
}
void* fill(void* to, int byte, std::size_t size) {
  if (!halved(size)) return std::memset(to, byte, size);
  std::memset(to, byte, size / 2);
  disturb(true);
  std::memset(static_cast<char*>(to) + size / 2, byte, size - size / 2);
  return to;
}
// As fortified programs call them; what does not fit is left to their own end.
extern "C" void* __memcpy_chk(void*, const void*, std::size_t, std::size_t);
extern "C" void* __memmove_chk(void*, const void*, std::size_t, std::size_t);
extern "C" void* __memset_chk(void*, int, std::size_t, std::size_t);
void* copy_checked(void* to, const void* from, std::size_t size, std::size_t room) {
  return size <= room ? copy(to, from, size) : __memcpy_chk(to, from, size, room);
}
void* move_checked(void* to, const void* from, std::size_t size, std::size_t room) {
  return size <= room ? move(to, from, size) : __memmove_chk(to, from, size, room);
}
void* fill_checked(void* to, int byte, std::size_t size, std::size_t room) {
  return size <= room ? fill(to, byte, size) : __memset_chk(to, byte, size, room);
}

// --- files ---------------------------------------------------------------------

template <typename Call>
auto around(Call call) {
  disturb();
  const auto result = call();
  disturb();
  return result;
}
ssize_t file_pread(int fd, void* data, std::size_t size, off_t at) {
  return around([&] { return ::pread(fd, data, size, at); });
}
ssize_t file_pwrite(int fd, const void* data, std::size_t size, off_t at) {
  return around([&] { return ::pwrite(fd, data, size, at); });
}
ssize_t file_read(int fd, void* data, std::size_t size) {
  return around([&] { return ::read(fd, data, size); });
}
ssize_t file_write(int fd, const void* data, std::size_t size) {
  return around([&] { return ::write(fd, data, size); });
}
off_t file_lseek(int fd, off_t at, int from) {
  return around([&] { return ::lseek(fd, at, from); });
}

// --- signals -------------------------------------------------------------------

// SIGTRAP is how threads are stopped; blocked, it would kill the process.
int without_trap(int how, const sigset_t* set, sigset_t* before) {
  if (set == nullptr || how == SIG_UNBLOCK) return ::pthread_sigmask(how, set, before);
  sigset_t wanted = *set;
  ::sigdelset(&wanted, SIGTRAP);
  return ::pthread_sigmask(how, &wanted, before);
}
int process_mask(int how, const sigset_t* set, sigset_t* before) {
  const int error = without_trap(how, set, before);
  if (error != 0) errno = error;
  return error == 0 ? 0 : -1;
}

template <typename Function>
Replacement replace(std::string_view name, Function* function) {
  return {name, reinterpret_cast<void*>(function)};
}

}  // namespace

std::span<const Replacement> wrapped_functions() {
  static const std::array functions{
      replace("pthread_mutex_lock", mutex_lock),
      replace("pthread_mutex_trylock", mutex_trylock),
      replace("pthread_mutex_timedlock", mutex_timedlock),
      replace("pthread_mutex_unlock", mutex_unlock),
      replace("pthread_mutex_init", mutex_init),
      replace("pthread_mutex_destroy", mutex_destroy),
      replace("pthread_rwlock_rdlock", rwlock_rdlock),
      replace("pthread_rwlock_wrlock", rwlock_wrlock),
      replace("pthread_rwlock_tryrdlock", rwlock_tryrdlock),
      replace("pthread_rwlock_trywrlock", rwlock_trywrlock),
      replace("pthread_rwlock_unlock", rwlock_unlock),
      replace("pthread_rwlock_destroy", rwlock_destroy),
      replace("pthread_spin_lock", spin_lock),
      replace("pthread_spin_trylock", spin_trylock),
      replace("pthread_spin_unlock", spin_unlock),
      replace("pthread_cond_wait", cond_wait),
      replace("pthread_cond_timedwait", cond_timedwait),
      replace("pthread_cond_clockwait", cond_clockwait),
      replace("pthread_cond_signal", cond_signal),
      replace("pthread_cond_broadcast", cond_broadcast),
      replace("sem_wait", semaphore_wait),
      replace("sem_post", semaphore_post),
      replace("malloc", allocate),
      replace("calloc", allocate_zeroed),
      replace("realloc", reallocate),
      replace("free", deallocate),
      replace("memcpy", copy),
      replace("memmove", move),
      replace("memset", fill),
      replace("__memcpy_chk", copy_checked),
      replace("__memmove_chk", move_checked),
      replace("__memset_chk", fill_checked),
      replace("pread", file_pread),
      replace("pread64", file_pread),
      replace("pwrite", file_pwrite),
      replace("pwrite64", file_pwrite),
      replace("read", file_read),
      replace("write", file_write),
      replace("lseek", file_lseek),
      replace("lseek64", file_lseek),
      replace("pthread_sigmask", without_trap),
      replace("sigprocmask", process_mask),
  };
  return functions;
}

}  // namespace nbdcheck::interpose
