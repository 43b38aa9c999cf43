// The standard descriptors as they were: a plugin that closes them, or all there are,
// would silence the fuzzer, and have its files where the words of others go.
#pragma once

#include <poll.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <string>

namespace nbdcheck::fuzz {

class Descriptors {
 public:
  Descriptors();
  // Which ones are closed or replaced, "" when none is; puts them back.  Where our
  // copies are gone too, those of `keeper` serve, a process that has the same.
  std::string mend(pid_t keeper);

 private:
  [[nodiscard]] bool untouched();
  [[nodiscard]] bool is(int fd, std::size_t which) const;
  void put_back(int fd, std::size_t which, pid_t keeper);

  static constexpr std::size_t standard = 3;  // 0, 1, 2
  static constexpr int first_copy = 100;
  std::array<int, standard> copies_{-1, -1, -1};  // -1: it was closed
  std::array<struct stat, standard> facts_{};
  std::array<pollfd, standard + 1> watched_{};  // the copies, and 0
};

}  // namespace nbdcheck::fuzz
