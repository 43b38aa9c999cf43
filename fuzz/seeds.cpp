// Writes the seed corpus, plans as bytes: generated ones, and others for where those
// seldom come.
//
//   plugin_seeds DIRECTORY
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "bytes.hpp"
#include "nbdcheck/testing.hpp"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "Usage: plugin_seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  std::filesystem::create_directories(directory);
  // All that an export can offer; what a plugin does not is folded away.
  nbdcheck::Subject subject;
  subject.info.size = 1U << 20;
  subject.info.can_write = subject.info.can_flush = subject.info.can_trim = true;
  subject.info.zero = nbdcheck::zero_native;
  subject.info.fua = nbdcheck::fua_native;
  subject.info.cache = nbdcheck::cache_native;
  subject.info.can_extents = subject.info.can_fast_zero = true;
  subject.plugin.has = {"extents"};
  std::vector<std::vector<std::uint8_t>> inputs;
  for (unsigned seed = 1; seed <= 64; ++seed)
    inputs.push_back(
        nbdcheck::fuzz::bytes_of(nbdcheck::random_operations(subject, 4U + seed % 24, seed)));
  for (auto& input : nbdcheck::fuzz::aimed_inputs()) inputs.push_back(std::move(input));
  unsigned number = 0;
  for (const auto& bytes : inputs) {
    char name[16];
    std::snprintf(name, sizeof name, "%03u", ++number);
    std::ofstream file(directory / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "%s/%s: cannot be written\n", directory.c_str(), name);
      return 1;
    }
  }
  return 0;
}
