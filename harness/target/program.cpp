#include "target/program.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "nbdcheck/status_page.hpp"
#include "sandbox/spawn_settings.hpp"

namespace nbdcheck {
namespace {

using sandbox::Descriptor;
using sandbox::Pipe;
using sandbox::raised;
using std::chrono::milliseconds;

constexpr std::size_t kept = 64U << 10;
constexpr milliseconds beat{100};

}  // namespace

std::string ProgramEnd::words() const {
  if (!signalled) return fmt::format("exited with status {}", value);
  const char* name = ::sigabbrev_np(value);
  const char* description = ::sigdescr_np(value);
  if (name == nullptr) return fmt::format("was killed by signal {}", value);
  return fmt::format("was killed by SIG{} ({})", name, description == nullptr ? "" : description);
}

tl::expected<std::unique_ptr<Program>, std::string> Program::start(Spec spec) {
  std::unique_ptr<Program> program(new Program);
  std::thread keeper([&self = *program, &spec] {
    const int error = self.spawn(spec);
    {
      const std::lock_guard lock(self.mutex_);
      self.started_ = true;
      self.start_error_ = error;
    }
    self.changed_.notify_all();
    // `spec` is gone from here on.
    if (error == 0) self.keep();
  });
  program->keeper_ = std::move(keeper);
  {
    std::unique_lock lock(program->mutex_);
    program->changed_.wait(lock, [&] { return program->started_; });
  }
  if (program->start_error_ == 0) return program;
  return tl::unexpected(
      fmt::format("cannot start {}: {}", spec.words[0], std::strerror(program->start_error_)));
}

int Program::spawn(Spec& spec) {
  const Descriptor null = raised(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Descriptor given(spec.inherited < 0 ? -1 : ::fcntl(spec.inherited, F_DUPFD_CLOEXEC, 10));
  Pipe output;
  Pipe error;
  if (!null.valid() || !output.valid() || !error.valid() || (spec.inherited >= 0 && !given.valid()))
    return errno == 0 ? EMFILE : errno;
  sandbox::SpawnSettings settings;
  settings.give(null, STDIN_FILENO);
  settings.give(output.write, STDOUT_FILENO);
  settings.give(error.write, STDERR_FILENO);
  if (given.valid()) settings.give(given, STDERR_FILENO + 1);
  settings.close_from(STDERR_FILENO + (given.valid() ? 2 : 1));
  std::vector<char*> arguments;
  for (std::string& word : spec.words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  if (const int failed = settings.start_tied(pid_, arguments[0], arguments.data(), environ);
      failed != 0) {
    pid_ = 0;
    return failed;
  }
  process_ = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  output_.pipe = std::move(output.read);
  error_.pipe = std::move(error.read);
  return 0;
}

void Program::read(Stream& stream) {
  std::array<char, 16384> buffer;
  // A program that prints for ever must not keep us from seeing its end.
  for (int rounds = 0; rounds < 64 && stream.pipe.valid(); ++rounds) {
    const ssize_t got = ::read(stream.pipe.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return stream.pipe.reset();
    const std::lock_guard lock(mutex_);
    stream.text.append(buffer.data(), static_cast<std::size_t>(got));
    if (stream.text.size() > 2 * kept) stream.text.erase(0, stream.text.size() - kept);
  }
}

void Program::keep() {
  for (;;) {
    std::array<pollfd, 3> sources{{{process_.get(), POLLIN, 0},
                                   {output_.pipe.get(), POLLIN, 0},
                                   {error_.pipe.get(), POLLIN, 0}}};
    // Kernels before 5.3 have no pidfd.
    (void)::poll(sources.data(), sources.size(), process_.valid() ? 1000 : 10);
    siginfo_t info{};
    const bool ended =
        ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == pid_;
    // What it wrote is in the pipe before its end is to be seen.
    read(output_);
    read(error_);
    if (ended) return reap();
  }
}

void Program::reap() {
  {
    const std::lock_guard lock(mutex_);
    ::kill(-pid_, SIGKILL);  // what it started
    over_ = true;
    static_cast<sandbox::WaitStatus&>(end_) = sandbox::reap(pid_);
  }
  changed_.notify_all();
}

void Program::signal(int number) const {
  const std::lock_guard lock(mutex_);
  if (over_ || pid_ == 0) return;  // the number may be somebody else's by now
  if (number == SIGKILL) ::kill(-pid_, number);
  ::kill(pid_, number);
}

bool Program::is_over() const {
  const std::lock_guard lock(mutex_);
  return over_;
}

bool Program::wait(milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  std::unique_lock lock(mutex_);
  while (!over_ && std::chrono::steady_clock::now() < end) {
    // Waiting is progress, to whoever watches this process: the limit is here.
    status_page().heartbeat.fetch_add(1, std::memory_order_relaxed);
    changed_.wait_until(lock, std::min(end, std::chrono::steady_clock::now() + beat));
  }
  return over_;
}

bool Program::terminate(milliseconds limit) {
  signal(SIGTERM);
  if (wait(limit)) return true;
  kill();
  return false;
}

void Program::kill() {
  signal(SIGKILL);
  // Nothing survives that, though a process in the kernel's hands may take long.
  wait(std::chrono::minutes(1));
}

Program::~Program() {
  if (pid_ != 0) signal(SIGKILL);
  if (keeper_.joinable()) keeper_.join();
}

ProgramEnd Program::end() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

std::string Program::standard_output() const {
  const std::lock_guard lock(mutex_);
  return output_.text;
}

std::string Program::standard_error() const {
  const std::lock_guard lock(mutex_);
  return error_.text;
}

}  // namespace nbdcheck
