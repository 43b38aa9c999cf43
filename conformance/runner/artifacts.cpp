#include "runner/artifacts.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "report/event.hpp"

namespace nbdcheck {
namespace {

namespace fs = std::filesystem;

bool holds(const std::string& path, const std::string& text) {
  std::error_code problem;
  if (!fs::is_regular_file(path, problem)) return false;
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {}) == text;
}

}  // namespace

std::string Artifacts::save(const Plan& plan, const std::string& rule) {
  std::error_code problem;
  fs::create_directories(directory_, problem);
  if (problem) {
    error_ = fmt::format("cannot make {}: {}", directory_, problem.message());
    return "";
  }
  const std::string text = to_text(plan);
  for (int number = 1; number < 1000; ++number) {
    const std::string path = number == 1 ? fmt::format("{}/{}.plan", directory_, rule)
                                         : fmt::format("{}/{}-{}.plan", directory_, rule, number);
    if (fs::exists(path, problem)) {
      if (holds(path, text)) return path;
      continue;
    }
    error_ = write_whole_file(path, text);
    return error_.empty() ? path : "";
  }
  error_ = fmt::format("{} is full of older reproducers of {}", directory_, rule);
  return "";
}

}  // namespace nbdcheck
