// The children of sandbox_test: one function per kind of misbehaviour.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "sandbox/sandbox_test.hpp"

namespace nbdcheck::sandbox_test {
namespace {

using namespace std::chrono_literals;

void begin_callback(Callback callback, std::uint32_t count, std::uint64_t offset,
                    std::uint32_t flags) {
  CallSlot& slot = my_slot();
  slot.connection = 1;
  slot.count = count;
  slot.offset = offset;
  slot.flags = flags;
  slot.returned = 0;
  slot.callback = static_cast<std::uint8_t>(callback);
}

void end_callback() {
  my_slot().returned = 1;
  my_slot().operations.fetch_add(1);
}

[[noreturn]] void done(ChildSide& side) {
  side.finish();
  side.leave();
}

// The memory clobber after the crash keeps the frame from becoming a tail call.
volatile int zero = 0;
int* volatile nowhere = nullptr;

[[gnu::noinline]] void touch_nothing() {
  *nowhere = zero;
  asm volatile("" ::: "memory");
}
[[gnu::noinline]] int divide_by_nothing() {
  const int result = 12345 / zero;
  asm volatile("" ::: "memory");
  return result;
}
[[gnu::noinline]] void give_up() { std::abort(); }
[[gnu::noinline]] void call_nothing() {
  void (*volatile function)() = nullptr;
  function();
  asm volatile("" ::: "memory");
}
[[gnu::noinline]] int descend(const volatile char* above) {  // NOLINT(misc-no-recursion)
  volatile char frame[4096];
  frame[0] = above == nullptr ? '0' : above[0];
  if (zero != 0) return 0;
  const int below = descend(frame);
  return below + frame[0];
}
[[gnu::noinline]] void call_exit() { std::exit(0); }
[[gnu::noinline]] void spin() {
  while (zero == 0) {
  }
}

void segv(ChildSide&) {
  set_phase("reading the last byte");
  my_slot().plan_index = 7;
  begin_callback(Callback::pwrite, 4096, 512, 2);
  touch_nothing();
}
void fpe(ChildSide&) { std::printf("%d", divide_by_nothing()); }
void abort_it(ChildSide&) { give_up(); }
void null_call(ChildSide&) {
  begin_callback(Callback::get_size, 0, 0, 0);
  call_nothing();
}
void guard(ChildSide&) {
  void* page = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  nowhere = static_cast<int*>(page);
  const auto address = reinterpret_cast<std::uint64_t>(page);
  status_page().guard_begin = address;
  status_page().guard_end = address + 4096;
  touch_nothing();
}
void overflow(ChildSide&) {
  std::thread([] {
    prepare_thread();
    begin_callback(Callback::open, 0, 0, 0);
    std::printf("%d", descend(nullptr));
  }).join();
}
void crash_in_exit(ChildSide& side) {
  std::atexit([] { touch_nothing(); });
  side.finish();
}

void finish(ChildSide& side) {
  begin_callback(Callback::pread, 1, 0, 0);
  end_callback();
  side.emit("got " + side.input());
  side.emit(std::string(100'000, 'x'));
  const char* scratch = std::getenv("TMPDIR");
  side.emit(scratch == nullptr ? "no scratch" : scratch);
  std::printf("on stdout\n");
  std::fprintf(stderr, "on stderr\n");
  done(side);
}
void finish_by_return(ChildSide& side) { side.finish(); }
void exit0(ChildSide&) {
  begin_callback(Callback::config_complete, 0, 0, 0);
  call_exit();
}
void exit_silently(ChildSide&) {
  begin_callback(Callback::flush, 0, 0, 0);
  ::_exit(0);
}
void exit_in_thread(ChildSide&) {
  std::thread([] {
    begin_callback(Callback::close, 0, 0, 0);
    call_exit();
  }).join();
}
void exec_sleep(ChildSide&) {
  ::execl("/bin/sleep", "sleep", "30", nullptr);
  ::execl("/usr/bin/sleep", "sleep", "30", nullptr);
}

void deadlock(ChildSide&) {
  std::mutex mutex;
  mutex.lock();
  std::thread idle([] { std::this_thread::sleep_for(1h); });
  std::thread stuck([&mutex] {
    my_slot().plan_index = 3;
    begin_callback(Callback::pread, 8, 16, 0);
    const std::lock_guard lock(mutex);
  });
  stuck.join();
  idle.join();
}
void lock_cycle(ChildSide&) {
  static std::mutex first;
  static std::mutex second;
  std::atomic<int> ready = 0;
  const auto both = [&ready](std::mutex& one, std::mutex& other) {
    const std::lock_guard mine(one);
    ++ready;
    while (ready < 2) std::this_thread::yield();
    const std::lock_guard another(other);
  };
  std::thread thread([&] { both(first, second); });
  both(second, first);
  thread.join();
}
void relock(ChildSide&) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  ::pthread_mutex_lock(&mutex);
  ::pthread_mutex_lock(&mutex);
}
void busy(ChildSide& side) {
  side.emit(std::to_string(::getpid()));
  spin();
}
// As on a machine that has much else to do: a tenth of a processor.
void slow_work(ChildSide& side) {
  // Between once and four times the stall limit, which SandboxTest::spec() sets.
  const int scale = time_scale() > 1 ? 3 : 1;
  begin_callback(Callback::close, 0, 0, 0);
  for (int i = 0; i < 7; ++i) {
    timespec used{};
    const auto mine = [&used] {
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
      return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
    };
    for (const auto end = mine() + 12ms * scale; mine() < end;) {
    }
    std::this_thread::sleep_for(90ms * scale);
  }
  end_callback();
  done(side);
}
// As when a large file is freed: all of it in the kernel.
void kernel_work(ChildSide& side) {
  const int scale = time_scale() > 1 ? 3 : 1;
  std::vector<char> buffer(1U << 20);
  const int source = ::open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  begin_callback(Callback::close, 0, 0, 0);
  for (const auto end = std::chrono::steady_clock::now() + 700ms * scale;
       std::chrono::steady_clock::now() < end;)
    if (::read(source, buffer.data(), buffer.size()) <= 0) std::abort();
  end_callback();
  done(side);
}
void progress(ChildSide& side) {
  for (int i = 0; i < 45; ++i) {
    begin_callback(Callback::pread, 1, 0, 0);
    std::this_thread::sleep_for(20ms * time_scale());
    end_callback();
  }
  done(side);
}
void progress_for_ever(ChildSide&) {
  for (;;) {
    set_phase("on and on");
    std::this_thread::sleep_for(5ms);
  }
}
void stop(ChildSide&) { ::raise(SIGSTOP); }

void close_all(ChildSide& side) {
  ::closefrom(3);
  side.emit("lost");
  done(side);
}
void cover_events(ChildSide& side) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "%s/covered", std::getenv("TMPDIR"));
  const int file = ::open(name.data(), O_CREAT | O_RDWR, 0600);
  for (int fd = 3; fd < 1024; ++fd) {
    if (fd != file) ::dup2(file, fd);
  }
  side.emit("lost");
  if (::lseek(file, 0, SEEK_END) == 0) done(side);  // else the line went into the file
}
void close_stdio(ChildSide& side) {
  ::close(0);
  ::close(1);
  ::close(2);
  std::printf("nowhere\n");
  side.emit("still here");
  done(side);
}
void print_for_ever(ChildSide&) {
  for (;;) std::puts("all work and no play makes jack a dull boy");
}

void grandchild(ChildSide& side) {
  if (::fork() == 0) {
    ::setsid();
    for (;;) ::pause();
  }
  done(side);
}
// Becomes a program without an environment.
[[noreturn]] void sleep_without_environment() {
  char sleep[] = "sleep";
  char time[] = "60";
  std::array<char*, 3> arguments{sleep, time, nullptr};
  std::array<char*, 1> environment{nullptr};
  ::execve("/bin/sleep", arguments.data(), environment.data());
  ::_exit(1);
}
// Waits for the exec, which closes the descriptor.
void wait_for_exec(std::array<int, 2> pipe) {
  ::close(pipe[1]);
  char byte = 0;
  (void)!::read(pipe[0], &byte, 1);
}
// Away from its parent, its session and its environment.
void daemon(ChildSide& side) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return;
  if (::fork() == 0) {
    ::setsid();
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    sleep_without_environment();
  }
  ::wait(nullptr);
  wait_for_exec(pipe);
  done(side);
}
void wiped(ChildSide& side) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return;
  if (::fork() == 0) {
    if (::fork() != 0) ::_exit(0);
    sleep_without_environment();
  }
  ::wait(nullptr);
  wait_for_exec(pipe);
  done(side);
}
// Bounded to 200 processes, which then wait to be killed.
void bomb(bool new_sessions) {
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& count = *static_cast<std::atomic<int>*>(memory);
  if (::fork() == 0) {
    while (count.fetch_add(1) < 200) {
      if (::fork() == 0 && new_sessions) ::setsid();
    }
    ::alarm(60);  // should the sandbox fail
    for (;;) ::pause();
  }
  while (count.load() < 20) std::this_thread::sleep_for(1ms);
  give_up();
}
void fork_bomb(ChildSide&) { bomb(false); }
void session_bomb(ChildSide&) { bomb(true); }

void forked_copy(ChildSide& side) {
  const pid_t copy = ::fork();  // "the callback" returns twice
  my_slot().operations.fetch_add(1);
  if (copy != 0) ::waitpid(copy, nullptr, 0);
  side.emit(is_original_process() ? "original" : "copy");
  done(side);
}
void continue_in_fork(ChildSide& side) {
  const pid_t copy = ::fork();
  if (copy != 0) {
    int status = 0;
    ::waitpid(copy, &status, 0);
    side.leave();
  }
  side.continue_in_fork();
  side.emit("copy at work");
  begin_callback(Callback::after_fork, 0, 0, 0);
  touch_nothing();
}
// A process has one tracer only: the parent will be refused.
void traced(ChildSide&) {
  const pid_t self = ::getpid();
  std::array<int, 2> ready{};
  if (::pipe(ready.data()) != 0) return;
  if (::fork() == 0) {
    if (::ptrace(PTRACE_SEIZE, self, nullptr, nullptr) != 0) ::_exit(1);
    (void)!::write(ready[1], "", 1);
    int status = 0;
    while (::waitpid(self, &status, __WALL) == self && WIFSTOPPED(status)) {
      ::ptrace(PTRACE_CONT, self, nullptr, reinterpret_cast<void*>(long{WSTOPSIG(status)}));
    }
    ::_exit(0);
  }
  ::close(ready[1]);
  char byte = 0;
  if (::read(ready[0], &byte, 1) != 1) return;
  touch_nothing();
}
void hog(ChildSide&) {
  for (;;) {
    constexpr std::size_t size = 4U << 20;
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) std::memset(memory, 1, size);
    std::this_thread::sleep_for(1ms);
    set_phase("growing");
  }
}

}  // namespace

int child_main(const std::string& mode) {
  static const std::map<std::string, void (*)(ChildSide&)> modes{
      {"segv", segv},
      {"fpe", fpe},
      {"abort", abort_it},
      {"null-call", null_call},
      {"guard", guard},
      {"overflow", overflow},
      {"crash-in-exit", crash_in_exit},
      {"finish", finish},
      {"finish-by-return", finish_by_return},
      {"exit", exit0},
      {"_exit", exit_silently},
      {"exit-in-thread", exit_in_thread},
      {"exec", exec_sleep},
      {"deadlock", deadlock},
      {"lock-cycle", lock_cycle},
      {"relock", relock},
      {"slow-work", slow_work},
      {"kernel-work", kernel_work},
      {"busy", busy},
      {"progress", progress},
      {"progress-for-ever", progress_for_ever},
      {"stop", stop},
      {"close-all", close_all},
      {"cover-events", cover_events},
      {"close-stdio", close_stdio},
      {"print-for-ever", print_for_ever},
      {"grandchild", grandchild},
      {"daemon", daemon},
      {"wiped", wiped},
      {"fork-bomb", fork_bomb},
      {"session-bomb", session_bomb},
      {"forked-copy", forked_copy},
      {"continue-in-fork", continue_in_fork},
      {"traced", traced},
      {"hog", hog},
  };
  ChildSide& side = ChildSide::enter();
  modes.at(mode)(side);
  return 0;
}

}  // namespace nbdcheck::sandbox_test
