#include "sandbox/spawn.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <random>
#include <vector>

#include "sandbox/child.hpp"
#include "sandbox/descendants.hpp"
#include "sandbox/instruments.hpp"
#include "sandbox/spawn_settings.hpp"

namespace nbdcheck::sandbox {
namespace {

using Error = tl::unexpected<std::string>;

Error failed(const char* what, int error) {
  return Error(std::string(what) + ": " + std::strerror(error));
}

bool fill(const Descriptor& file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::string new_marker() {
  std::random_device random;
  return std::to_string(::getpid()) + ":" + std::to_string(random()) + std::to_string(random());
}

// posix_spawn wants char* of strings it never changes.
class Strings {
 public:
  void add(std::string text) { texts_.push_back(std::move(text)); }
  [[nodiscard]] char** pointers() {
    pointers_.clear();
    for (std::string& text : texts_) pointers_.push_back(text.data());
    pointers_.push_back(nullptr);
    return pointers_.data();
  }

 private:
  std::vector<std::string> texts_;
  std::vector<char*> pointers_;
};

Strings child_environment(const ChildSpec& spec, const std::string& marker) {
  Strings environment;
  const std::string ours = std::string(marker_variable) + "=";
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (text.starts_with(ours)) continue;
    if (!spec.scratch.empty() && text.starts_with("TMPDIR=")) continue;
    const std::string_view name = text.substr(0, text.find('=') + 1);
    if (std::ranges::any_of(spec.environment,
                            [&](const auto& own) { return own.starts_with(name); }))
      continue;
    environment.add(std::string(text));
  }
  for (const std::string& own : spec.environment) environment.add(own);
  environment.add(ours + marker);
  if (!spec.scratch.empty()) environment.add("TMPDIR=" + spec.scratch);
  return environment;
}

// What to execute.  The link itself, because the file may have been replaced
// by a newer build meanwhile; but under valgrind it is the tool's.
std::string own_executable() {
  const std::string link = "/proc/self/exe";
  if (!under_valgrind() && children_run_under().empty()) return link;
  std::array<char, PATH_MAX> target{};
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<std::size_t>(length)) : link;
}

}  // namespace

SharedPage::~SharedPage() {
  if (page_ != nullptr) ::munmap(page_, sizeof(StatusPage));
}

void SharedPage::release() const {
  page_->release.store(1);
  ::syscall(SYS_futex, &page_->release, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

WaitStatus reap(pid_t pid) {
  int raw = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(pid, &raw, 0);
  } while (got < 0 && errno == EINTR);
  if (got != pid) return {};
  if (WIFSIGNALED(raw)) return {.signalled = true, .value = WTERMSIG(raw)};
  return {.value = WEXITSTATUS(raw)};
}

Child::Child(Child&& other) noexcept
    : process(std::move(other.process)),
      events(std::move(other.events)),
      standard_output(std::move(other.standard_output)),
      standard_error(std::move(other.standard_error)),
      page(std::move(other.page)),
      marker(std::move(other.marker)),
      pid(std::exchange(other.pid, 0)),
      reaped_(other.reaped_),
      status_(other.status_) {}

Child::~Child() {
  if (pid != 0) end();
}

bool Child::is_over() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == pid;
}

WaitStatus Child::end() {
  if (reaped_) return status_;
  ::kill(-pid, SIGKILL);
  ::kill(pid, SIGKILL);
  status_ = reap(pid);
  reaped_ = true;
  forget_child(pid);
  return status_;
}

tl::expected<Child, std::string> spawn(const ChildSpec& spec) {
  become_subreaper();
  const Descriptor null = raised(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Descriptor memory = raised(::memfd_create("nbdcheck-status", MFD_CLOEXEC));
  const Descriptor input = raised(::memfd_create("nbdcheck-input", MFD_CLOEXEC));
  Pipe events;
  Pipe standard_output;
  Pipe standard_error;
  if (!null.valid() || !memory.valid() || !input.valid() || !events.valid() ||
      !standard_output.valid() || !standard_error.valid()) {
    return failed("cannot open descriptors for a child", errno);
  }
  if (::ftruncate(memory.get(), off_t{sizeof(StatusPage)}) != 0 || !fill(input, spec.input)) {
    return failed("cannot prepare the memory shared with a child", errno);
  }
  void* page =
      ::mmap(nullptr, sizeof(StatusPage), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (page == MAP_FAILED) return failed("cannot map the status page", errno);

  Child child;
  child.page = SharedPage(static_cast<StatusPage*>(page));
  child.marker = new_marker();
  SpawnSettings settings;
  settings.give(null, STDIN_FILENO);
  settings.give(standard_output.write, STDOUT_FILENO);
  settings.give(standard_error.write, STDERR_FILENO);
  settings.give(events.write, event_descriptor);
  settings.give(memory, page_descriptor);
  settings.give(input, input_descriptor);
  settings.close_from(input_descriptor + 1);
  Strings arguments;
  const auto& wrapper = children_run_under();
  for (const std::string& word : wrapper) arguments.add(word);
  arguments.add(wrapper.empty() ? "nbdcheck" : own_executable());
  for (const std::string& argument : spec.arguments) arguments.add(argument);
  Strings environment = child_environment(spec, child.marker);
  const std::string executable = wrapper.empty() ? own_executable() : wrapper.front();

  const int error = remember_child(child.pid, child.marker, [&](pid_t& pid) {
    return settings.start(pid, executable.c_str(), arguments.pointers(), environment.pointers());
  });
  if (error != 0) {
    child.pid = 0;
    return failed("cannot start a child", error);
  }
  child.process = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  child.events = std::move(events.read);
  child.standard_output = std::move(standard_output.read);
  child.standard_error = std::move(standard_error.read);
  return child;
}

}  // namespace nbdcheck::sandbox
