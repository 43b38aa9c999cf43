// The supervisor of the calls that the filter hands over.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <exception>
#include <mutex>
#include <thread>

#include "interpose/carry_out.hpp"
#include "interpose/filter.hpp"
#include "nbdcheck/file_calls.hpp"
#include "nbdcheck/sandbox.hpp"

namespace nbdcheck {

using interpose::Answer;

struct FileCallWatch::State {
  explicit State(Options wanted)
      : options(std::move(wanted)),
        carried(options.roots),
        carrier(carried, faults, options.recognise, fresh) {}

  Options options;
  interpose::Faults faults;
  // Of the supervisor alone.
  interpose::Files carried;
  std::vector<FileCall> fresh;
  interpose::CallCarrier carrier;

  // What it publishes.
  mutable std::mutex mutex;
  std::vector<FileCall> calls;
  std::vector<WatchedFile> files;

  std::atomic<bool> lost = false;
  std::mutex start_mutex;
  std::condition_variable started;
  int listener = -2;  // -2: not known yet; -1: there will be none
  bool keeper_ready = false;
  bool supervisor_gone = false;
};

namespace {

using State = FileCallWatch::State;
constexpr std::size_t most_calls = 100'000;

// Out of the way of plugins that count on low numbers, or tidy them up.
int move_high(int fd) {
  for (const int wanted : {1001, 201, 51}) {
    const int high = ::fcntl(fd, F_DUPFD_CLOEXEC, wanted);
    if (high < 0) continue;
    ::close(fd);
    return high;
  }
  return fd;
}

bool is_own_thread(std::uint32_t thread) {
  return ::syscall(SYS_tgkill, ::getpid(), thread, 0) == 0;
}

Answer take(State& state, const seccomp_notif& notice) {
  if (!is_own_thread(notice.pid)) {
    state.carrier.take_foreign(notice.data);
    return {};
  }
  return state.carrier.take(notice.data);
}

void publish(State& state) {
  if (state.fresh.empty()) return;
  const std::lock_guard lock(state.mutex);
  for (FileCall& call : state.fresh) {
    if (state.calls.size() < most_calls)
      state.calls.push_back(std::move(call));
    else
      state.lost = true;
  }
  state.fresh.clear();
  state.files = state.carried.all();
}

// Signals are for the threads that would have had them without us.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

enum class Served { one, ended, not_ours };

template <typename Handle>
Served serve_one(int listener, const Handle& handle) {
  pollfd ready{listener, POLLIN, 0};
  if (::poll(&ready, 1, -1) < 0) return errno == EINTR ? Served::one : Served::not_ours;
  if ((ready.revents & POLLHUP) != 0) return Served::ended;  // nobody is watched any more
  seccomp_notif notice{};
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice) != 0)
    return errno == EINTR || errno == ENOENT ? Served::one : Served::not_ours;
  const Answer answer = handle(notice);
  seccomp_notif_resp reply{};
  reply.id = notice.id;
  if (answer.go_on) {
    reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  } else {
    reply.val = answer.value;
    reply.error = -answer.error;
  }
  // The thread may be gone (ENOENT).
  const bool sent = ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply) == 0 || errno == ENOENT;
  return sent ? Served::one : Served::not_ours;
}

void supervise(const std::shared_ptr<State>& state) {
  block_signals();
  int listener = -1;
  {
    std::unique_lock lock(state->start_mutex);
    state->started.wait(lock, [&] { return state->listener != -2; });
    listener = state->listener;
  }
  if (listener < 0) return;
  const auto carry_out = [&](const seccomp_notif& notice) {
    const Answer answer = take(*state, notice);
    publish(*state);  // before the thread goes on: its request may end at once
    return answer;
  };
  while (serve_one(listener, carry_out) == Served::one) {
  }
  {
    const std::lock_guard lock(state->start_mutex);
    state->supervisor_gone = true;
  }
  state->started.notify_all();
}

// Holds the listener in a table of descriptors of its own.  When the plugin
// closes all it finds, the watched threads must not see their calls fail.
void keep(const std::shared_ptr<State>& state, int listener) {
  block_signals();
  const bool own_table = ::unshare(CLONE_FILES) == 0;
  if (own_table) {
    ::syscall(SYS_close_range, 0U, static_cast<unsigned>(listener) - 1, 0U);
    ::syscall(SYS_close_range, static_cast<unsigned>(listener) + 1, UINT_MAX, 0U);
  }
  {
    const std::lock_guard lock(state->start_mutex);
    state->keeper_ready = true;
  }
  state->started.notify_all();
  if (!own_table) return;
  {
    std::unique_lock lock(state->start_mutex);
    state->started.wait(lock, [&] { return state->supervisor_gone; });
  }
  const auto let_go = [&](const seccomp_notif&) {
    state->lost = true;
    return Answer{};
  };
  while (serve_one(listener, let_go) == Served::one) {
  }
}

}  // namespace

FileCallWatch::FileCallWatch(std::shared_ptr<State> state) : state_(std::move(state)) {}

FileCallWatch::~FileCallWatch() {
  {
    const std::lock_guard lock(state_->start_mutex);
    if (state_->listener == -2) state_->listener = -1;
  }
  state_->started.notify_all();
}

tl::expected<std::unique_ptr<FileCallWatch>, std::string> FileCallWatch::start(Options options) {
  auto state = std::make_shared<State>(std::move(options));
  // It outlives us: threads of the plugin may go on.
  std::thread(supervise, state).detach();
  return std::unique_ptr<FileCallWatch>(new FileCallWatch(std::move(state)));
}

tl::expected<void, std::string> FileCallWatch::run(const std::function<void()>& body) {
  std::string problem;
  std::exception_ptr error;
  // A thread that is not filtered, to start the keeper.
  int listener = -1;
  std::mutex mutex;
  std::condition_variable changed;
  bool installed = false;
  bool go = false;
  std::thread watched([&] {
    prepare_thread();
    const auto fd = interpose::install_filter(state_->options.reads);
    {
      std::unique_lock lock(mutex);
      if (fd)
        listener = move_high(*fd);
      else
        problem = fd.error();
      installed = true;
      changed.notify_all();
      changed.wait(lock, [&] { return go; });
    }
    if (!fd) return;
    try {
      body();
    } catch (...) {
      error = std::current_exception();
    }
  });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return installed; });
  }
  if (listener >= 0) {
    std::thread(keep, state_, listener).detach();
    std::unique_lock lock(state_->start_mutex);
    state_->started.wait(lock, [&] { return state_->keeper_ready; });
  }
  {
    const std::lock_guard lock(state_->start_mutex);
    state_->listener = listener;
  }
  state_->started.notify_all();
  {
    const std::lock_guard lock(mutex);
    go = true;
  }
  changed.notify_all();
  watched.join();
  if (error) std::rethrow_exception(error);
  if (!problem.empty()) return tl::unexpected(problem);
  return {};
}

std::size_t FileCallWatch::mark() const {
  const std::lock_guard lock(state_->mutex);
  return state_->calls.size();
}

std::vector<FileCall> FileCallWatch::calls() const {
  const std::lock_guard lock(state_->mutex);
  return state_->calls;
}

std::vector<WatchedFile> FileCallWatch::files() const {
  const std::lock_guard lock(state_->mutex);
  return state_->files;
}

bool FileCallWatch::complete() const { return !state_->lost; }

void FileCallWatch::inject(FileFault fault, int times) { state_->faults.set(fault, times); }

int FileCallWatch::injected() const { return state_->faults.done(); }

}  // namespace nbdcheck
