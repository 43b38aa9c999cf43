// Text that came from a plugin, a file or the command line, made safe to show
// on a terminal and to keep in a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nbdcheck {

// Control characters, terminal escapes, characters that reorder text and bytes
// that are not UTF-8 become visible escapes (\n, \x1b, \u202e).  Everything
// else is kept, a backslash too.
std::string printable(std::string_view text);

// The same for text of several lines: one printable line for each.  A final
// newline makes no empty line.
std::vector<std::string> printable_lines(std::string_view text);

// Reversible: the result is one line of printable UTF-8 without spaces at
// either end, and unescape() gives back the very bytes.
std::string escape(std::string_view text);
std::optional<std::string> unescape(std::string_view text);  // no value: malformed

// For messages: printable, in single quotes, shortened when long.
std::string quote(std::string_view text);

// Bytes that are not UTF-8 become U+FFFD.
std::string valid_utf8(std::string_view text);

// Terminal columns that printable text takes.
std::size_t display_width(std::string_view text);
// The longest beginning that takes at most `columns`.
std::string_view fit(std::string_view text, std::size_t columns);
// Words filled into lines of at most `columns`; a longer word has a line of its own.
std::vector<std::string> wrap(std::string_view text, std::size_t columns);

// 1204331 -> "1,204,331"
std::string with_commas(std::uint64_t number);

}  // namespace nbdcheck
