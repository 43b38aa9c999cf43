#include "checks/backing_roots.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "nbdcheck/server.hpp"

namespace nbdcheck {

std::vector<std::string> backing_roots(const CheckRun& run) {
  namespace fs = std::filesystem;
  std::vector<std::string> roots;
  for (const std::string& argument : run.request().arguments) {
    const Parameter parameter = parse_parameter(argument);
    std::error_code error;
    const std::string path = fs::canonical(parameter.value, error);
    if (error || path == "/" || std::ranges::find(roots, path) != roots.end()) continue;
    if (fs::is_regular_file(path, error) || fs::is_block_file(path, error) ||
        fs::is_directory(path, error))
      roots.push_back(path);
  }
  // A file that replaces an image by renaming lies beside it.
  std::error_code none;
  const std::string copies =
      fs::canonical(fs::path(run.job().log_path).parent_path() / "files", none);
  if (!copies.empty() && std::ranges::any_of(roots, [&](const std::string& root) {
        return root.starts_with(copies + "/");
      }))
    roots.push_back(copies);
  return roots;
}

}  // namespace nbdcheck
