// For tests: a directory to work in, and files in it.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "backing/scratch_directory.hpp"

namespace nbdcheck {

class Temporary : public testing::Test {
 protected:
  Temporary() {
    std::string pattern = std::filesystem::path(testing::TempDir()) / "backing-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    root_ = pattern;
  }
  ~Temporary() override { remove_tree(root_); }

  [[nodiscard]] std::string at(const std::string& name) const { return root_ / name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(at(name), std::ios::binary) << text;
    return at(name);
  }
  static std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  static struct stat status_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
    return status;
  }

  std::filesystem::path root_;
};

}  // namespace nbdcheck
