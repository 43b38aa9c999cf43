// What this very executable shows to plugins: every nbdkit_* function of the
// installed nbdkit, and of our own symbols nothing else.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>

namespace nbdcheck {
namespace {

struct ClosePipe {
  void operator()(std::FILE* pipe) const { pclose(pipe); }
};

std::set<std::string> defined_symbols(const std::string& file) {
  const std::string command = "nm -D --defined-only --format=posix '" + file + "'";
  const std::unique_ptr<std::FILE, ClosePipe> pipe(popen(command.c_str(), "r"));
  std::set<std::string> symbols;
  std::array<char, 4096> line{};
  while (pipe && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    const std::string text = line.data();
    symbols.insert(text.substr(0, text.find(' ')));
  }
  return symbols;
}

std::string own_path() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

TEST(Exported, HasAllOfTheInstalledNbdkit) {
  const std::string nbdkit = NBDKIT_PROGRAM;
  if (!std::filesystem::exists(nbdkit)) GTEST_SKIP() << "no nbdkit installed";
  const auto theirs = defined_symbols(nbdkit);
  const auto ours = defined_symbols(own_path());
  int compared = 0;
  for (const std::string& symbol : theirs) {
    if (!symbol.starts_with("nbdkit_")) continue;
    EXPECT_TRUE(ours.contains(symbol)) << symbol;
    ++compared;
  }
  EXPECT_GE(compared, 54);
}

TEST(Exported, ListNamesWhatIsThereAndNothingElse) {
  const auto ours = defined_symbols(own_path());
  std::ifstream list(EXPORTED_LIST);
  std::set<std::string> named;
  bool inside = false;
  for (std::string line; std::getline(list, line);) {
    if (line == "{") inside = true;
    const auto start = line.find_first_not_of(' ');
    const auto end = line.find(';');
    if (inside && line != "};" && end != line.npos) named.insert(line.substr(start, end - start));
  }
  ASSERT_GE(named.size(), 64u);
  for (const std::string& symbol : named) {
    EXPECT_TRUE(symbol.starts_with("nbdkit_")) << symbol;
    EXPECT_TRUE(ours.contains(symbol)) << "in the list but not defined: " << symbol;
  }
  for (const std::string& symbol : ours) {
    if (symbol.starts_with("nbdkit_")) {
      EXPECT_TRUE(named.contains(symbol)) << symbol;
    }
    EXPECT_EQ(symbol.find("nbdcheck"), symbol.npos) << "a C++ symbol of ours is exported";
  }
}

}  // namespace
}  // namespace nbdcheck
