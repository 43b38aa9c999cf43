// What must be on the disk after its process was killed: all that was
// acknowledged before the last successful flush was issued, and every request
// with FUA.  Pure: requests and contents in, a violation out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "history.hpp"

namespace nbdcheck {

class Survival {
 public:
  struct Rules {
    bool multi_conn = false;  // a flush covers the writes of all connections
    bool native_fua = false;
  };
  struct Range {
    std::uint64_t offset = 0;
    std::uint32_t count = 0;
  };
  using Contents = std::vector<std::vector<std::byte>>;  // empty: unknown

  // Requests are on whole ranges only.
  Survival(std::vector<Range> ranges, Rules rules);

  // A process begins; this is what the ranges hold.
  void begin(const Contents& contents);
  void step(const Operation& op, bool ok);
  // It was killed, and this is what the next one found.
  [[nodiscard]] std::optional<Violation> judge(const Contents& found) const;

 private:
  struct Version {
    enum class Kind : std::uint8_t { bytes, anything } kind;
    std::vector<std::byte> bytes;
    Operation by;
    bool acknowledged = true;
  };
  struct Place {
    std::vector<Version> versions;  // oldest first
    std::size_t promised = 0;       // this one, or a later one, must be there
    Operation promise;              // by this request
  };
  void promise(Place& place, std::size_t version, const Operation& by);
  [[nodiscard]] std::optional<Violation> judge(std::size_t index,
                                               const std::vector<std::byte>& found) const;

  std::vector<Range> ranges_;
  Rules rules_;
  std::vector<Place> places_;
  std::vector<std::string> story_;
};

}  // namespace nbdcheck
