#include "nbdcheck/census.hpp"

#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

#include <fcntl.h>

#include "sandbox/process_table.hpp"

namespace nbdcheck {
namespace {

// The numbers that name the entries of a directory of /proc, without the
// descriptor that reading it needs.
std::vector<int> numbers_in(const char* path) {
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  std::vector<int> numbers;
  const std::unique_ptr<DIR, Close> directory(::opendir(path));
  if (!directory) return numbers;
  const int own = ::dirfd(directory.get());
  const bool descriptors = std::strcmp(path, "/proc/self/fd") == 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    const int number = std::atoi(entry->d_name);
    if (!descriptors || number != own) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string link_of(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<std::size_t>(length)) : "";
}

// umask(2) can only be read by setting it, which another thread would notice.
std::uint32_t file_mask() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Umask:"))
      return static_cast<std::uint32_t>(std::strtoul(line.c_str() + 6, nullptr, 8));
  return 0;
}

}  // namespace

std::vector<OpenDescriptor> open_descriptors() {
  std::vector<OpenDescriptor> all;
  for (const int number : numbers_in("/proc/self/fd")) {
    struct stat facts {};
    const int flags = ::fcntl(number, F_GETFD);
    if (flags < 0 || ::fstat(number, &facts) != 0) continue;  // closed meanwhile
    all.push_back({number, (flags & FD_CLOEXEC) != 0,
                   link_of("/proc/self/fd/" + std::to_string(number)), facts.st_dev, facts.st_ino});
  }
  return all;
}

std::size_t descriptor_count() { return numbers_in("/proc/self/fd").size(); }

std::vector<int> threads() { return numbers_in("/proc/self/task"); }

bool has_children() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

std::size_t zombie_children() {
  siginfo_t info{};
  if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return 0;
  std::size_t count = 0;
  for (const auto& [pid, process] : sandbox::process_table())
    if (process.parent == ::getpid() && process.is_dead()) ++count;
  return count;
}

SignalDisposition disposition_of(int signal) {
  struct sigaction action {};
  if (::sigaction(signal, nullptr, &action) != 0) return {};
  SignalDisposition result;
  result.no_child_wait = (action.sa_flags & SA_NOCLDWAIT) != 0;
  result.handler = (action.sa_flags & SA_SIGINFO) != 0
                       ? reinterpret_cast<std::uintptr_t>(action.sa_sigaction)
                       : reinterpret_cast<std::uintptr_t>(action.sa_handler);
  result.ignored = result.handler == reinterpret_cast<std::uintptr_t>(SIG_IGN);
  result.caught = !result.ignored && result.handler != reinterpret_cast<std::uintptr_t>(SIG_DFL);
  return result;
}

std::uint64_t blocked_signals() {
  sigset_t now;
  sigemptyset(&now);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
  std::uint64_t bits = 0;
  for (int signal = 1; signal < 64; ++signal)
    if (sigismember(&now, signal) == 1) bits |= std::uint64_t{1} << signal;
  return bits;
}

Surroundings surroundings() {
  Surroundings result;
  std::array<char, PATH_MAX> path{};
  if (::getcwd(path.data(), path.size()) != nullptr) result.directory = path.data();
  result.file_mask = file_mask();
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
    result.variables.emplace_back(*variable);
  std::sort(result.variables.begin(), result.variables.end());
  // Only asks; and nobody else may be setting it, which is what is looked for.
  if (const char* locale = std::setlocale(LC_NUMERIC, nullptr)) result.number_locale = locale;
  for (const int which :
       {RLIMIT_AS, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_STACK}) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource>(which), &limit) == 0)
      result.limits[which] = limit.rlim_cur;
  }
  return result;
}

MemoryUse memory_use() {
  MemoryUse use;
  const struct mallinfo2 info = ::mallinfo2();
  use.allocated = info.uordblks + info.hblkhd;
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0;
  const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  if (statm >> pages) use.mapped = pages * page_size;
  if (statm >> pages) use.resident = pages * page_size;
  return use;
}

}  // namespace nbdcheck
