// The line that tells a person at a terminal what is going on.  Shown only
// when a run takes longer than a second, and gone without a trace before
// anything else is printed.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

namespace nbdcheck {

class ProgressLine {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  ProgressLine(std::FILE* out, int width, Clock clock);
  ~ProgressLine() { erase(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void update(const std::string& check, std::size_t done, std::size_t total,
              std::uint64_t operations);
  void erase();

 private:
  std::FILE* out_;
  std::size_t width_;
  Clock clock_;
  std::chrono::steady_clock::time_point begin_;
  bool shown_ = false;
};

}  // namespace nbdcheck
