// The child's side of run_child: descriptors, events, forked copies.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "nbdcheck/sandbox.hpp"
#include "sandbox/child.hpp"
#include "sandbox/page.hpp"

namespace nbdcheck {
namespace {

// The event pipe, told by its inode: a plugin may close the descriptor, and
// open something else under its number.
struct EventPipe {
  int fd = -1;
  dev_t device = 0;
  ino_t inode = 0;

  [[nodiscard]] bool still_ours() const {
    struct stat now {};
    return fd >= 0 && ::fstat(fd, &now) == 0 && now.st_dev == device && now.st_ino == inode;
  }
};

constinit EventPipe event_pipe;
constinit std::mutex emit_mutex;
constinit std::atomic<bool> emitting{false};

constinit std::atomic<bool> is_copy{false};
constinit std::atomic<int> original_pid{0};  // 0: nobody asked to be watched

void note_fork() {
  if (original_pid.load(std::memory_order_relaxed) == 0) return;
  is_copy.store(true, std::memory_order_relaxed);
  detail::ends_after_callback.store(true, std::memory_order_relaxed);
  sandbox::leave_shared_page();
}

void watch_forks() {
  static const int registered = ::pthread_atfork(nullptr, nullptr, note_fork);
  (void)registered;
  is_copy.store(false, std::memory_order_relaxed);
  detail::ends_after_callback.store(false, std::memory_order_relaxed);
  original_pid.store(::getpid(), std::memory_order_relaxed);
}

[[noreturn]] void refuse(const char* why) {
  std::fprintf(stderr, "nbdcheck: not started as a child of nbdcheck: %s\n", why);
  ::_exit(3);
}

[[noreturn]] void park() {
  sandbox::await_release(status_page());
  ::_exit(EXIT_FAILURE);
}

// Whether all of `line` went out.
bool write_all(std::string_view line) {
  while (!line.empty()) {
    const ssize_t written = ::write(event_pipe.fd, line.data(), line.size());
    if (written >= 0) {
      line.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd ready{event_pipe.fd, POLLOUT, 0};
      (void)::poll(&ready, 1, 1000);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void die_with(int parent) {
  // The signal is sent when the *thread* that started us ends; run_child stays
  // on that thread until we are gone.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(EXIT_FAILURE);  // it died before prctl
}

std::string read_whole(int fd) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) refuse("no input");
  std::string text(static_cast<std::size_t>(facts.st_size), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t got =
        ::pread(fd, text.data() + have, text.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) refuse("cannot read the input");
    have += static_cast<std::size_t>(got);
  }
  ::close(fd);
  return text;
}

}  // namespace

constinit std::atomic<bool> detail::ends_after_callback{false};

void work_in_fork() { detail::ends_after_callback.store(false, std::memory_order_relaxed); }

void detail::end_forked_copy() {
  if (StatusPage* page = sandbox::shared_page(); page != nullptr) page->forked_copy.store(1);
  ::_exit(0);
}

bool is_original_process() {
  const int original = original_pid.load(std::memory_order_relaxed);
  if (original == 0) return true;
  if (is_copy.load(std::memory_order_relaxed)) return false;
  if (::getpid() == original) return true;  // not cached by glibc: sees a raw clone() too
  note_fork();
  return false;
}

void ChildSide::take_descriptors() {
  struct stat facts {};
  if (::fstat(sandbox::page_descriptor, &facts) != 0 || facts.st_size < off_t{sizeof(StatusPage)}) {
    refuse("no status page");
  }
  void* page = ::mmap(nullptr, sizeof(StatusPage), PROT_READ | PROT_WRITE, MAP_SHARED,
                      sandbox::page_descriptor, 0);
  if (page == MAP_FAILED) refuse("cannot map the status page");
  ::close(sandbox::page_descriptor);
  sandbox::use_page(static_cast<StatusPage*>(page));

  // Out of the way of plugins that count on low numbers, or tidy them up.
  for (const int wanted : {1000, 200, 50, 10}) {
    event_pipe.fd = ::fcntl(sandbox::event_descriptor, F_DUPFD_CLOEXEC, wanted);
    if (event_pipe.fd >= 0) break;
  }
  if (event_pipe.fd < 0 || ::fstat(event_pipe.fd, &facts) != 0) refuse("no event descriptor");
  ::close(sandbox::event_descriptor);
  event_pipe.device = facts.st_dev;
  event_pipe.inode = facts.st_ino;
  input_ = read_whole(sandbox::input_descriptor);
}

ChildSide& ChildSide::enter() {
  static ChildSide side;
  const char* marker = std::getenv(sandbox::marker_variable);
  if (marker == nullptr) refuse("no marker in the environment");
  die_with(std::atoi(marker));
  side.take_descriptors();
  StatusPage& page = status_page();
  page.process.store(::getpid(), std::memory_order_relaxed);
  watch_forks();
  // Where Yama restricts ptrace to ancestors the parent still is one, but the
  // thread that looks need not be the one that started us.
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  (void)std::signal(SIGPIPE, SIG_IGN);  // as nbdkit has it for its plugins
  sandbox::install_crash_handlers();
  prepare_thread();
  page.heartbeat.fetch_add(1, std::memory_order_relaxed);
  return side;
}

ChildSide& ChildSide::in_process(std::function<void(std::string_view)> sink) {
  static ChildSide side;
  side.sink_ = std::move(sink);
  watch_forks();
  return side;
}

void ChildSide::emit(std::string_view line) {
  if (!is_original_process()) detail::end_forked_copy();
  const std::lock_guard lock(emit_mutex);
  if (sink_) {
    sink_(line);
    return;
  }
  std::string whole;
  whole.reserve(line.size() + 1);
  whole.append(line).push_back('\n');
  emitting.store(true, std::memory_order_relaxed);
  if (!event_pipe.still_ours() || !write_all(whole)) status_page().event_loss.store(1);
  emitting.store(false, std::memory_order_relaxed);
}

void ChildSide::finish() {
  if (!is_original_process()) detail::end_forked_copy();
  StatusPage& page = status_page();
  auto running = StatusPage::End::running;
  if (!page.end.compare_exchange_strong(running, StatusPage::End::finished) &&
      running != StatusPage::End::finished) {
    park();
  }
  set_phase("exit");
}

void ChildSide::leave() {
  if (status_page().end.load() > StatusPage::End::running &&
      status_page().end.load() < StatusPage::End::finished) {
    park();
  }
  // Not fflush(nullptr): it would wait for a thread of the plugin that blocks
  // reading from a FILE of its own.
  std::fflush(stdout);
  std::fflush(stderr);
  ::_exit(0);
}

void ChildSide::continue_in_fork() {
  const int original = original_pid.load(std::memory_order_relaxed);
  if (StatusPage* page = sandbox::shared_page(); page != nullptr) {
    die_with(original);
    sandbox::use_page(page);
    page->process.store(::getpid(), std::memory_order_relaxed);
    ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  }
  watch_forks();
}

namespace sandbox {

void nudge_parent() {
  // An empty line, which the parent skips; unless a long line may be half out.
  if (emitting.load(std::memory_order_relaxed) || !event_pipe.still_ours()) return;
  (void)!::write(event_pipe.fd, "\n", 1);
}

}  // namespace sandbox
}  // namespace nbdcheck
