// Errors are legal; some are not, which shows when the same is asked for again in
// another way.  These are the rules that the checks data.edges, zero.declined and
// trim.declined ask about places of their own choice, for any place.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "history.hpp"
#include "nbdcheck/connection.hpp"

namespace nbdcheck {

struct Asker {
  // Sends a request; 0, or the errno that came of it.
  std::function<int(const Operation&)> ask;
  // What the plugin said last; may be "".
  std::function<std::string()> last_error;
};

// zero.decline-errno, zero.fast-errno: a zero that fails where a write of zeroes, or
// a zero that need not be fast, succeeds.  Writes zeroes to the range.
std::optional<Violation> look_at_zero(const Operation& zero, bool can_fast_zero,
                                      const Asker& asker);

// trim.errno
std::optional<Violation> look_at_trim(const Operation& trim, const Asker& asker);

// data.last-byte: a read or write (`kind`) of the last block fails, that of the block
// before it does not.  `size`: of the export, in whole blocks.
std::optional<Violation> look_at_last_block(OpKind kind, std::uint64_t size, std::uint64_t block,
                                            const Asker& asker);

// data.no-needless-error: a read or write fails although both of its halves, before
// and after, succeed.
std::optional<Violation> look_at_whole(const Operation& whole, std::uint64_t block,
                                       const Asker& asker);

// data.readable: a read fails, again and again, in a sector that could be read before
// it was changed (one of `suspects`), while one of `others` can be read.
std::optional<Violation> look_at_unreadable(const Operation& failed,
                                            std::span<const Operation> suspects,
                                            std::span<const Operation> others, const Asker& asker);

// Those of the first four that apply to an operation that has failed.
std::optional<Violation> look_again(const Operation& failed, const ExportInfo& info,
                                    std::uint64_t block, const Asker& asker);

// Whether a sequence shows this rule only with SequenceOptions::second_look.
bool takes_second_look(std::string_view rule);

}  // namespace nbdcheck
