#include "report/progress_line.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "text/printable.hpp"

namespace nbdcheck {

ProgressLine::ProgressLine(std::FILE* out, int width, Clock clock)
    : out_(out),
      // The last column stays free: some terminals wrap as soon as it is used.
      width_(static_cast<std::size_t>(std::max(width, 2)) - 1),
      clock_(std::move(clock)),
      begin_(clock_()) {}

void ProgressLine::update(const std::string& check, std::size_t done, std::size_t total,
                          std::uint64_t operations) {
  const auto elapsed = clock_() - begin_;
  if (elapsed < std::chrono::seconds(1)) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(elapsed).count();
  const std::string line = printable(fmt::format("{} of {} checks, {} s, {} operations: {}", done,
                                                 total, seconds, with_commas(operations), check));
  fmt::print(out_, "\r{}\x1b[K", fit(line, width_));
  std::fflush(out_);
  shown_ = true;
}

void ProgressLine::erase() {
  if (!shown_) return;
  fmt::print(out_, "\r\x1b[K");
  std::fflush(out_);
  shown_ = false;
}

}  // namespace nbdcheck
