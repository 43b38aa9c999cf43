// The operations of a sequence, kept in a file mapped by the child that runs
// them.  Whatever the plugin does to that process, the parent can still read
// what had been asked of it, and shrink it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.hpp"

namespace nbdcheck {

class OperationLog {
 public:
  // Creates the file; on failure the log swallows everything.
  explicit OperationLog(const std::string& path);
  ~OperationLog();
  OperationLog(const OperationLog&) = delete;
  OperationLog& operator=(const OperationLog&) = delete;

  // Before the operation is run.
  void append(const Operation& op);
  void restart();  // forget what was logged: a new sequence begins
  // Marks a position; see the finding it belongs to.
  [[nodiscard]] std::uint64_t size() const { return count_; }

  // All operations in the file, the one in progress last.
  static std::vector<Operation> load(const std::string& path);

 private:
  struct Header {
    std::uint64_t count;
    std::uint64_t reserved[3];  // 32 bytes in all
  };
  bool grow();

  int fd_ = -1;
  Header* map_ = nullptr;
  std::size_t capacity_ = 0;  // operations that fit
  std::uint64_t count_ = 0;
};

}  // namespace nbdcheck
