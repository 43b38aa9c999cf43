// The files that descriptors and mappings of the plugin lead to.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nbdcheck/file_calls.hpp"

namespace nbdcheck::interpose {

class Files {
 public:
  explicit Files(std::vector<std::string> roots) : roots_(std::move(roots)) {}

  // -1: neither a regular file nor a block device.
  int of_descriptor(int fd);

  void add_mapping(std::uint64_t address, std::uint64_t size, int file, std::uint64_t offset);
  struct Range {
    int file;
    std::uint64_t begin;
    std::uint64_t end;
  };
  [[nodiscard]] std::optional<Range> of_memory(std::uint64_t address, std::uint64_t size) const;

  [[nodiscard]] const WatchedFile& operator[](int file) const {
    return files_[static_cast<std::size_t>(file)];
  }
  [[nodiscard]] const std::vector<WatchedFile>& all() const { return files_; }
  [[nodiscard]] bool is_backing(int file) const {
    return file >= 0 && files_[static_cast<std::size_t>(file)].backing;
  }

 private:
  [[nodiscard]] bool below_roots(const std::string& path) const;

  struct Mapping {
    std::uint64_t address;
    std::uint64_t size;
    int file;
    std::uint64_t offset;
  };
  std::vector<std::string> roots_;
  std::map<std::pair<dev_t, ino_t>, int> known_;
  std::vector<WatchedFile> files_;
  std::vector<Mapping> mappings_;  // the last one of an address counts
};

}  // namespace nbdcheck::interpose
