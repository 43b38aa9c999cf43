#include "descriptors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace nbdcheck::fuzz {

Descriptors::Descriptors() {
  for (std::size_t i = 0; i < standard; ++i) {
    const int fd = static_cast<int>(i);
    // Those that are closed from the beginning stay so.
    if (::fstat(fd, &facts_[i]) == 0) copies_[i] = ::fcntl(fd, F_DUPFD_CLOEXEC, first_copy);
    watched_[i] = {copies_[i], 0, 0};
  }
  watched_[standard] = {copies_[0] < 0 ? -1 : 0, 0, 0};
}

bool Descriptors::is(int fd, std::size_t which) const {
  struct stat now {};
  return ::fstat(fd, &now) == 0 && now.st_ino == facts_[which].st_ino &&
         now.st_dev == facts_[which].st_dev;
}

bool Descriptors::untouched() {
  // One call sees what is closed; that another file has taken the place of standard
  // output matters, too.
  ::poll(watched_.data(), watched_.size(), 0);
  const auto closed = [](const pollfd& fd) { return (fd.revents & POLLNVAL) != 0; };
  return std::ranges::none_of(watched_, closed) && (copies_[1] < 0 || is(1, 1)) &&
         (copies_[2] < 0 || is(2, 2));
}

void Descriptors::put_back(int fd, std::size_t which, pid_t keeper) {
  const int copy = copies_[which];
  if (copy != fd && is(copy, which)) {
    ::dup2(copy, fd);
    return;
  }
  const auto path = fmt::format("/proc/{}/fd/{}", keeper, which);
  const int again = ::open(path.c_str(), (which == 0 ? O_RDONLY : O_WRONLY | O_APPEND) | O_CLOEXEC);
  if (again < 0 || again == fd) return;
  ::dup2(again, fd);
  ::close(again);
}

std::string Descriptors::mend(pid_t keeper) {
  if (untouched()) return "";
  std::string standard_ones;
  bool own = false;
  for (std::size_t i = 0; i < standard; ++i) {
    if (copies_[i] < 0) continue;
    if (const int fd = static_cast<int>(i); !is(fd, i)) {
      standard_ones += fmt::format("{}{}", standard_ones.empty() ? "" : ", ", fd);
      put_back(fd, i, keeper);
    }
    if (is(copies_[i], i)) continue;
    own = true;
    put_back(copies_[i], i, keeper);
    ::fcntl(copies_[i], F_SETFD, FD_CLOEXEC);
  }
  if (standard_ones.empty()) return "descriptors of the fuzzer's own";
  return fmt::format("descriptor {}{}", standard_ones, own ? " and the fuzzer's own" : "");
}

}  // namespace nbdcheck::fuzz
