// The machine code that belongs to a plugin: the plugin's own file and what
// came with it, but neither the system's libraries nor this program.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nbdcheck {

struct CodeRange {
  std::uint64_t begin;
  std::uint64_t end;
};

struct CodeObject {
  std::string path;
  std::uint64_t base = 0;   // what addresses in the file are moved by
  std::uint64_t begin = 0;  // of all that is loaded, data too
  std::uint64_t end = 0;
  std::vector<CodeRange> ranges;
};

class Code {
 public:
  // REQUIRES: the plugin is loaded; `address` lies in it.
  static Code of_plugin(const void* address);

  // May be called in a signal handler.
  [[nodiscard]] bool contains(std::uint64_t address) const {
    for (const CodeRange& range : ranges_)
      if (address >= range.begin && address < range.end) return true;
    return false;
  }
  [[nodiscard]] std::span<const CodeRange> ranges() const { return ranges_; }

  // "libmyplugin.so+0x1234", or with a function "pwrite+0x12 (libmyplugin.so+0x1234)".
  [[nodiscard]] std::string place(std::uint64_t address) const;
  // "write_block at disk.c:12", from the symbols and line numbers of the file
  // where it has them.  Takes milliseconds.
  [[nodiscard]] std::string source(std::uint64_t address) const;
  // The name of a variable of the plugin; else the address as a number.
  [[nodiscard]] std::string variable(std::uint64_t address) const;

  // Why its instructions say nothing of what it does; "": they do.  Go moves
  // its goroutines between threads, interpreters are the system's code.
  [[nodiscard]] std::string opaque() const;

 private:
  std::vector<CodeObject> objects_;  // the plugin first
  std::vector<CodeRange> ranges_;    // of all of them
};

}  // namespace nbdcheck
