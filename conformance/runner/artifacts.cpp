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

std::string Artifacts::save_script(const std::string& script, const std::string& plan_path) {
  const std::string path = fs::path(plan_path).replace_extension(".py");
  error_ = write_whole_file(path, script);
  if (!error_.empty()) return "";
  std::error_code ignored;
  fs::permissions(path, fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec,
                  fs::perm_options::add, ignored);
  return path;
}

std::string Artifacts::save(const Plan& plan, const std::string& rule) {
  const std::string text = to_text(plan);
  std::error_code problem;
  fs::create_directories(directory_, problem);
  if (problem) {
    error_ = fmt::format("cannot make {}: {}", directory_, problem.message());
    return "";
  }
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
