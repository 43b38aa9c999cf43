#include "waivers/read.hpp"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "text/nearest.hpp"
#include "text/printable.hpp"
#include "text/read_file.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t largest_file = 1U << 20;
constexpr std::size_t longest_text = 1000;  // it is printed with every finding
constexpr std::array<std::string_view, 4> keys{"rule", "plugin", "reason", "until"};

class Reader {
 public:
  Reader(std::string file, std::span<const Rule> rules) : file_(std::move(file)), rules_(rules) {}

  std::vector<Waiver> read(const toml::table& document) {
    std::vector<Waiver> waivers;
    for (const auto& [key, value] : document) {
      const toml::array* list = value.as_array();
      if (key.str() != "waiver") {
        fail(key.source(), fmt::format("unknown key {}; expected [[waiver]]", quote(key.str())));
      } else if (list == nullptr || !std::all_of(list->begin(), list->end(), is_table)) {
        fail(value.source(), "a waiver begins with [[waiver]]");
      } else {
        for (const toml::node& node : *list) waivers.push_back(waiver(*node.as_table()));
      }
    }
    return waivers;
  }

  // The first one in the file; tables are sorted by key.
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  static bool is_table(const toml::node& node) { return node.is_table(); }

  void fail(const toml::source_region& source, const std::string& what) {
    const auto line = std::max<std::size_t>(1, source.begin.line);
    if (!error_.empty() && error_line_ <= line) return;
    error_line_ = line;
    error_ = fmt::format("{}:{}: {}", file_, line, what);
  }

  Waiver waiver(const toml::table& table) {
    Waiver waiver;
    waiver.where = fmt::format("{}:{}", file_, table.source().begin.line);
    for (const auto& [key, value] : table) {
      const std::string_view name = key.str();
      if (name == "rule")
        waiver.rule = text(name, value);
      else if (name == "plugin")
        waiver.plugin = text(name, value);
      else if (name == "reason")
        waiver.reason = text(name, value);
      else if (name == "until")
        waiver.until = day(value);
      else
        fail(key.source(),
             fmt::format("unknown key {}; keys are {}", quote(name), fmt::join(keys, ", ")));
    }
    for (const std::string_view key : {"rule", "plugin", "reason"})
      if (!table.contains(key)) fail(table.source(), fmt::format("the waiver has no {}", key));
    if (const auto* rule = table.get("rule"); rule != nullptr && !waiver.rule.empty())
      check_rule(waiver.rule, rule->source());
    return waiver;
  }

  std::string text(std::string_view key, const toml::node& value) {
    const auto found = value.value_exact<std::string>();
    if (!found || found->find_first_not_of(" \t\r\n") == std::string::npos) {
      fail(value.source(), fmt::format("{} is a text that says something", key));
      return "";
    }
    if (found->size() > longest_text)
      fail(value.source(), fmt::format("{} has more than {} bytes", key, longest_text));
    return *found;
  }

  // A TOML date, or a text that looks like one.
  std::string day(const toml::node& value) {
    if (const auto date = value.value_exact<toml::date>())
      return fmt::format("{:04}-{:02}-{:02}", date->year, date->month, date->day);
    const std::string text = value.value_exact<std::string>().value_or("");
    if (!is_day(text)) {
      fail(value.source(), "until is a day, such as \"2026-12-31\"");
      return "";
    }
    return text;
  }

  static bool is_day(const std::string& text) {
    if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
    const auto number = [&](std::size_t begin, std::size_t length) {
      int result = 0;
      for (const char digit : text.substr(begin, length)) {
        if (digit < '0' || digit > '9') return -1;
        result = result * 10 + (digit - '0');
      }
      return result;
    };
    const int year = number(0, 4);
    const int month = number(5, 2);
    const int day = number(8, 2);
    if (year < 0 || month < 0 || day < 0) return false;
    return std::chrono::year_month_day(std::chrono::year(year),
                                       std::chrono::month(static_cast<unsigned>(month)),
                                       std::chrono::day(static_cast<unsigned>(day)))
        .ok();
  }

  void check_rule(const std::string& id, const toml::source_region& source) {
    std::vector<std::string_view> known;
    for (const Rule& rule : rules_) known.push_back(rule.id);
    if (std::find(known.begin(), known.end(), id) != known.end()) return;
    const std::string near = nearest(id, known);
    fail(source, fmt::format("unknown rule {}; {}", quote(id),
                             near.empty() ? "'nbdcheck list --rules' names them all"
                                          : fmt::format("did you mean {}?", near)));
  }

  std::string file_;
  std::span<const Rule> rules_;
  std::string error_;
  std::size_t error_line_ = 0;
};

}  // namespace

tl::expected<std::vector<Waiver>, std::string> parse_waivers(std::string_view text,
                                                             const std::string& file,
                                                             std::span<const Rule> rules) {
  try {
    Reader reader(file, rules);
    std::vector<Waiver> waivers = reader.read(toml::parse(text));
    if (!reader.error().empty()) return tl::unexpected(reader.error());
    return waivers;
  } catch (const toml::parse_error& error) {
    const auto line = std::max<std::size_t>(1, error.source().begin.line);
    return tl::unexpected(fmt::format("{}:{}: {}", file, line, printable(error.description())));
  }
}

tl::expected<std::vector<Waiver>, std::string> read_waivers(const std::string& path,
                                                            std::span<const Rule> rules) {
  const auto text = read_whole_file(path, "a file of waivers", largest_file);
  if (!text) return tl::unexpected(text.error());
  return parse_waivers(*text, path, rules);
}

}  // namespace nbdcheck
